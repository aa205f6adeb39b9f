// B11: quota decisions, as bench/quota.ts and bench/quota-journal.ts count them in processes of their own.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../harness/build.js";
import { columns, type Goal, type Result, titled } from "../harness/results.js";
import { pinned } from "../harness/running.js";
import type { Scenario } from "../harness/scenario.js";
import { spreads } from "../harness/stats.js";

/** B11. */
export const b11: Scenario = {
  id: "B11",
  title: "quota decisions, each reserved and committed, per second of CPU time",
  parties: [],
  async run(options) {
    const samples = new Map<string, { rps: number }[]>();
    for (let round = 0; round < options.rounds; round++) {
      const counted = [...(await runOnce("bench/quota.ts")), ...(await runOnce("bench/quota-journal.ts"))];
      for (const [name, rps] of counted) samples.set(name, [...(samples.get(name) ?? []), { rps }]);
      options.progress(`B11 round ${round + 1}/${options.rounds}`);
    }
    const rows = [...samples].map(([name, all]) => ({ name, figures: spreads(all) }));
    return {
      id: b11.id,
      title: b11.title,
      columns: [titled(columns.rps, "decisions/s")],
      rows,
      goals: [...goals(rows, "memory", 500_000), ...goals(rows, "redis", 60_000)],
      notes: [],
    };
  },
};

async function runOnce(script: string): Promise<[string, number][]> {
  const [command, args] = pinned("measured", process.execPath, ["--import", "tsx", join(root, script), "1"]);
  const { stdout } = await promisify(execFile)(command, args, { cwd: root, timeout: 120_000 });
  const rows = [...stdout.matchAll(/^(\S.*?)\s{2,}([\d,]+) .*a second$/gm)];
  if (rows.length === 0) throw new Error(`${script} printed no rates: ${stdout}`);
  return rows.map(([, name = "", rate = ""]) => [name, Number(rate.replaceAll(",", ""))]);
}

function goals(rows: Result["rows"], store: string, limit: number): Goal[] {
  return rows
    .filter(({ name }) => name.toLowerCase().startsWith(store) && name.includes("1 limit"))
    .map(({ name, figures }) => ({
      text: `decisions per second, ${name}`,
      kind: "at least" as const,
      limit,
      value: figures.rps?.median ?? Number.NaN,
    }));
}
