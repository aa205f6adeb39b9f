// The benchmarks of spec/performance.md: `npm run bench [scenario …]`. `--help` tells the rest.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { build, gatewayEntry } from "./harness/build.js";
import { machineText } from "./harness/machine.js";
import { asJson, asMarkdown, asText, type Result } from "./harness/results.js";
import { cores, profileInto } from "./harness/running.js";
import type { BenchOptions } from "./harness/scenario.js";
import { find } from "./install.js";
import type { PartyName } from "./parties/parties.js";
import { scenarios } from "./scenarios/index.js";

const allParties: readonly PartyName[] = [
  "direct",
  "nginx",
  "bare",
  "gateway",
  "gateway-redis",
  "portkey",
  "connect-echo",
];

const help = `npm run bench -- [options] [scenario …]

Scenarios (all when none is named):
${scenarios.map(({ id, title }) => `  ${id.padEnd(12)} ${title}`).join("\n")}

Options:
  --quick             3 rounds of 2 s instead of 5 of 3 s
  --rounds N          counted rounds
  --seconds N         length of one measurement, a whole number
  --parties a,b       only these of ${allParties.join(", ")}
  --max-foreign N     percent of a core that other processes may use in a measurement that counts (default 10)
  --no-repeat         let measurements count that others disturbed, as on a machine that is never calm: then only figures of
                      CPU time, and what they are to each other, say something
  --gateway FILE      the gateway's entry point (default dist/bin/cody-gateway.js)
  --profile FOLDER    write where each Node party's time went, as FOLDER/<party>.txt; its figures are then worse
  --no-build          take what was built before
  --json, --markdown  print the results like this
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    seconds: { type: "string" },
    parties: { type: "string" },
    "max-foreign": { type: "string", default: "10" },
    "no-repeat": { type: "boolean", default: false },
    gateway: { type: "string", default: gatewayEntry },
    profile: { type: "string" },
    "no-build": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    markdown: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<void> {
  if (values.help) return void process.stdout.write(help);
  const wanted = new Set(positionals.map((id) => id.toUpperCase()));
  const unknown = [...wanted].filter((id) => !scenarios.some((scenario) => scenario.id === id));
  if (unknown.length > 0)
    throw new Error(`no scenario ${unknown.join(", ")}; there are ${scenarios.map(({ id }) => id).join(", ")}`);
  const chosen = scenarios.filter(({ id }) => wanted.size === 0 || wanted.has(id));
  const options: BenchOptions = {
    rounds: Number(values.rounds ?? (values.quick ? 3 : 5)),
    seconds: Number(values.seconds ?? (values.quick ? 2 : 3)),
    maxForeign: Number(values["max-foreign"]) / 100,
    repeat: !values["no-repeat"],
    parties: new Set((values.parties?.split(",") as PartyName[] | undefined) ?? allParties),
    gatewayEntry: resolve(values.gateway),
    progress: (line) => console.error(line),
  };
  const taking = chosen.flatMap(({ parties }) => parties).filter((name) => options.parties.has(name));
  if (!values["no-build"]) build();
  if (taking.some((name) => name.startsWith("gateway")) && !existsSync(options.gatewayEntry))
    throw new Error(
      `${options.gatewayEntry} is missing: build the gateway first (npm run build), or name other --parties`,
    );
  stayOffTheMeasuredCore();
  if (values.profile !== undefined) profileInto(resolve(values.profile));

  const results: Result[] = [];
  for (const scenario of chosen) {
    const result = await scenario.run(options);
    results.push(result);
    if (!values.json && !values.markdown) console.log(asText(result));
  }
  const about = {
    machine: machineText(),
    command: `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim(),
    at: new Date(),
  };
  if (values.json) console.log(asJson(results, about));
  if (values.markdown)
    console.log([`${about.machine}; \`${about.command}\``, "", ...results.map(asMarkdown)].join("\n"));
}

function stayOffTheMeasuredCore(): void {
  const taskset = find("taskset");
  if (taskset && cpus().length > 1) spawnSync(taskset, ["-acp", String(cores.load), String(process.pid)]);
}

await main();
