// B12: what it costs to know many actors, as bench/actors.ts finds out in a process of its own.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../harness/build.js";
import { type Column, type Goal, medianOf, type Result } from "../harness/results.js";
import { pinned } from "../harness/running.js";
import type { Scenario } from "../harness/scenario.js";
import { type Sample, spreads } from "../harness/stats.js";
import { startRedis } from "../parties/parties.js";

const sizes = [10_000, 100_000];

function column(figure: string, title: string, digits: number): Column {
  const shown = { maximumFractionDigits: digits, minimumFractionDigits: digits };
  return { figure, title, show: (value) => value.toLocaleString("en", shown) };
}

const shown: readonly Column[] = [
  column("lookupNs", "look-up, ns", 0),
  column("bytes", "memory, bytes an actor", 0),
  column("syncUs", "first sync, µs an actor", 1),
  column("resyncUs", "sync without changes", 1),
  column("turnMs", "longest turn of it, ms", 1),
  column("loadUs", "all read from Redis, µs an actor", 1),
  column("loadTurnMs", "longest turn of it, ms", 1),
];

/** B12. */
export const b12: Scenario = {
  id: "B12",
  title: "many actors, in CPU time",
  parties: [],
  async run(options) {
    const samples = new Map<string, Sample[]>();
    const folder = mkdtempSync(join(tmpdir(), "cody-gateway-bench-"));
    try {
      for (let round = 0; round < options.rounds; round++) {
        for (const size of sizes) {
          add(samples, rowName("memory", size), await runOnce(size));
          const redis = await startRedis(folder);
          try {
            add(samples, rowName("Redis", size), await runOnce(size, `127.0.0.1:${redis.port}`));
          } finally {
            await redis.stop();
          }
          rmSync(join(folder, "appendonlydir"), { recursive: true, force: true });
        }
        options.progress(`B12 round ${round + 1}/${options.rounds}`);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    const rows = [...samples].map(([name, all]) => ({ name, figures: spreads(all) }));
    const { id, title } = b12;
    return {
      id,
      title,
      columns: shown,
      rows,
      goals: ["memory", "Redis"].flatMap((store) => goalsOf(rows, store)),
      notes: [
        "memory: heap, with all that a process has of its actors; a sync: of a made-up source, in pages of 500, its making included",
        "one actor in ten has limits of its own; a turn of the event loop: its thread's CPU time from one to the next, garbage collection included",
      ],
    };
  },
};

function rowName(store: string, size: number): string {
  return `${store} store, ${size.toLocaleString("en")} actors`;
}

function add(samples: Map<string, Sample[]>, name: string, sample: Sample): void {
  samples.set(name, [...(samples.get(name) ?? []), sample]);
}

async function runOnce(size: number, redis?: string): Promise<Sample> {
  const script = join(root, "bench/actors.ts");
  const given = ["--expose-gc", "--import", "tsx", script, String(size), ...(redis === undefined ? [] : [redis])];
  const [command, args] = pinned("measured", process.execPath, given);
  const { stdout } = await promisify(execFile)(command, args, { cwd: root, timeout: 600_000 });
  return JSON.parse(stdout) as Sample;
}

function goalsOf(rows: Result["rows"], store: string): Goal[] {
  const [few = 0, many = 0] = sizes;
  const figure = (name: string, size: number): number => medianOf(rows, rowName(store, size), name);
  const ratio = (name: string): number => figure(name, many) / figure(name, few);
  const most = (text: string, limit: number, value: number): Goal => ({
    text: `${store}: ${text}`,
    kind: "at most",
    limit,
    value,
  });
  return [
    most("look-up, 100,000 ÷ 10,000 actors", 2.5, ratio("lookupNs")),
    most("memory, KB an actor", 1.5, figure("bytes", many) / 1024),
    most("first sync an actor, 100,000 ÷ 10,000 actors", 1.2, ratio("syncUs")),
    most("first sync of 100,000, seconds of CPU", 10, (figure("syncUs", many) * many) / 1e6),
    most("longest turn of a first sync, ms", 20, figure("turnMs", many)),
  ];
}
