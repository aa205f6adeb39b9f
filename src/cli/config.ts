import { type Config, loadConfig, type ShownConfig, showConfig } from "../config.js";
import { upstreamKinds } from "../gateway-upstreams.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, json, line } from "./io.js";
import { refuseConfig } from "./problems.js";

/** `config check` and `config show`. */
export async function runConfig(args: readonly string[], io: Io): Promise<number> {
  const usage = "cody-gateway config check|show [--json]";
  const { values, positionals } = readArgs(args, { options: { json: { type: "boolean" } }, min: 1, max: 1, usage });
  const [command] = positionals;
  if (command === "check") return check(io, values.json === true);
  if (command === "show") return show(io, values.json === true);
  throw new UsageError(`usage: ${usage}`);
}

function check(io: Io, asJson: boolean): number {
  const loaded = loadConfig(io.env, io.readFile, { kinds: upstreamKinds });
  const problems = "problems" in loaded ? loaded.problems : [];
  const notices = "problems" in loaded ? loaded.notices : loaded.config.notices;
  if (asJson) {
    json(io.stdout, { ok: problems.length === 0, problems, notices });
    return problems.length === 0 ? exitCodes.done : exitCodes.configuration;
  }
  if ("problems" in loaded) return refuseConfig(io, problems, notices);
  line(io.stdout, `configuration is right: ${summary(loaded.config)}`);
  for (const notice of notices) line(io.stdout, `note: ${notice}`);
  return exitCodes.done;
}

function summary({ upstreams, staticActors }: Config): string {
  return `${count(upstreams.length, "provider")}, ${count(staticActors.length, "actor")}`;
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

function show(io: Io, asJson: boolean): number {
  const loaded = loadConfig(io.env, io.readFile, { kinds: upstreamKinds });
  if ("problems" in loaded) return refuseConfig(io, loaded.problems, loaded.notices);
  const shown = showConfig(loaded.config, io.env, io.readFile);
  if (asJson) json(io.stdout, shown);
  else line(io.stdout, render(shown));
  return exitCodes.done;
}

function render({ settings, notices, ...lists }: ShownConfig): string {
  const name = Math.max(...settings.map((each) => each.name.length));
  const from = Math.max(...settings.map((each) => each.from.length));
  const rows = settings.map((each) => `${each.name.padEnd(name)}  ${each.from.padEnd(from)}  ${each.value ?? "–"}`);
  const parts = Object.entries(lists).map(([title, value]: [string, unknown]) => {
    const items = (Array.isArray(value) ? value : [value]).map((item) => `  ${JSON.stringify(item)}`);
    return [`${title}:`, ...(items.length > 0 ? items : ["  none"])].join("\n");
  });
  return [rows.join("\n"), ...parts, ...notices.map((notice) => `note: ${notice}`)].join("\n\n");
}
