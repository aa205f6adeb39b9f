// B11: quota decisions, as bench/quota.ts, bench/quota-journal.ts and bench/quota-redis.ts count them in processes of their own.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildFolder, root } from "../harness/build.js";
import { columns, type Goal, type Result, titled } from "../harness/results.js";
import { pinned } from "../harness/running.js";
import type { Scenario } from "../harness/scenario.js";
import { spreads } from "../harness/stats.js";

const scripts = ["quota", "quota-journal", "quota-redis"] as const;

/** What one row of a script says. Times in microseconds. */
type Sample = Readonly<Record<string, number>>;

/** B11. */
export const b11: Scenario = {
  id: "B11",
  title: "quota decisions per second of the process's CPU time",
  parties: [],
  async run(options) {
    const samples = new Map<string, Sample[]>();
    for (let round = 0; round < options.rounds; round++) {
      for (const script of scripts)
        for (const [name, sample] of await runOnce(script)) samples.set(name, [...(samples.get(name) ?? []), sample]);
      options.progress(`B11 round ${round + 1}/${options.rounds}`);
    }
    const rows = [...samples].map(([name, all]) => ({ name, figures: spreads(all) }));
    return {
      id: b11.id,
      title: b11.title,
      columns: [
        titled(columns.rps, "decisions/s of CPU"),
        { ...columns.rps, figure: "wall", title: "decisions/s" },
        { ...columns.cpuUs, figure: "hereUs", title: "CPU µs/call" },
        { ...columns.cpuUs, figure: "thereUs", title: "Redis' µs/call" },
        columns.p50,
        columns.p99,
      ],
      rows,
      goals: [...goals(rows, /^memory .*1 limit/, 500_000), ...goals(rows, /^redis .*(reserved|refused)/, 60_000)],
      notes: [
        "a decision is a reserve and the commit of what it admitted; where it says `reserved` or `refused`, the reserve alone, which is what the goal of Redis is about",
        "p50 and p99: how long a reserve took",
        "Redis and the process that asks have a core each; by the clock on the wall, both share the machine with whatever else runs",
      ],
    };
  },
};

async function runOnce(script: (typeof scripts)[number]): Promise<[string, Sample][]> {
  const compiled = join(buildFolder, "bench", `${script}.js`);
  const [command, args] = pinned("measured", process.execPath, [compiled, "1"]);
  const { stdout } = await promisify(execFile)(command, args, { cwd: root, timeout: 120_000 });
  const rows = [...stdout.matchAll(/^(\S.*?)\s{2,}([\d,]+) .*a second$(?:\n {2}(\S.*)$)?/gm)];
  if (rows.length === 0) throw new Error(`${script} printed no rates: ${stdout}`);
  return rows.map(([, name = "", rate = "", more = ""]) => [name, { rps: numberOf(rate), ...detailsOf(more) }]);
}

/** What the line below a rate of Redis says. */
function detailsOf(text: string): Sample {
  const found =
    /^([\d,]+) by the clock on the wall; ([\d.]+) µs a call here, ([\d.]+) there; a reserve took ([\d.]+) and ([\d.]+) ms/.exec(
      text,
    );
  if (found === null) return {};
  const [, wall = "", hereUs = "", thereUs = "", p50Ms = "", p99Ms = ""] = found;
  return {
    wall: numberOf(wall),
    hereUs: Number(hereUs),
    thereUs: Number(thereUs),
    p50: Number(p50Ms) * 1_000,
    p99: Number(p99Ms) * 1_000,
  };
}

function numberOf(text: string): number {
  return Number(text.replaceAll(",", ""));
}

function goals(rows: Result["rows"], which: RegExp, limit: number): Goal[] {
  return rows
    .filter(({ name }) => which.test(name))
    .map(({ name, figures }) => ({
      text: `decisions per second, ${name}`,
      kind: "at least" as const,
      limit,
      value: figures.rps?.median ?? Number.NaN,
    }));
}
