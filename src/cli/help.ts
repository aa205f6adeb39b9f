import { describeSettings } from "../config.js";

const usage: readonly (readonly [usage: string, sentence: string])[] = [
  ["serve", "Serve, as the environment and the configuration file say."],
  ["demo [--once]", "Serve with a made-up upstream: no key and no account needed."],
  ["config check [--json]", "Print everything that is wrong with the configuration."],
  ["config show [--json]", "Print the configuration in effect, secrets masked."],
  ["token license <key> [--json]", "Print the slk_ token of a licence key."],
  ["token pat <token> [--json]", "Print the sgd_ token of a Sourcegraph personal access token."],
  ["token admin <name> [--role viewer|operator] [--json]", "Make a token for an administrator."],
  ["version [--json]", "Print the version."],
  ["help [command]", "Print this, or what a command takes."],
];

const notes: Readonly<Record<string, string>> = {
  token: "A key or token given as - is read from standard input, and so stays out of the shell's history.",
  config: "Exit code 78 when the configuration is wrong.",
};

/** All commands. */
export function overview(): string {
  return `cody-gateway: an access-control gateway for LLM services\n\n${table(usage)}\n
Settings are environment variables: see cody-gateway serve --help and docs/configuration.md.`;
}

/** What a command takes; undefined when there is no such command. */
export function helpOf(command: string): string | undefined {
  const own = usage.filter(([text]) => text.split(" ")[0] === command);
  if (own.length === 0) return undefined;
  const note = notes[command];
  return [table(own), ...(note ? [note] : []), ...(command === "serve" ? [settings()] : [])].join("\n\n");
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([text]) => text.length));
  return rows.map(([text, sentence]) => `  cody-gateway ${text.padEnd(width)}  ${sentence}`).join("\n");
}

function settings(): string {
  const lines: string[] = [];
  let section: string | undefined;
  for (const { name, default: text, sentence, secret, fallbacks, section: title } of describeSettings()) {
    if (title !== section) lines.push(...(section === undefined ? [] : [""]), `${title}:`);
    section = title;
    const also = fallbacks.length > 0 ? ` Else ${fallbacks.join(", ")}.` : "";
    lines.push(
      `  ${name}${text === undefined ? "" : ` (${text})`}`,
      `      ${sentence}${also}${secret ? " Secret." : ""}`,
    );
  }
  return lines.join("\n");
}
