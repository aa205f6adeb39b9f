// What a scenario is given, and what most of them do.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Party,
  type PartyName,
  type Surroundings,
  startParty,
  startRedis,
  startUpstream,
} from "../parties/parties.js";
import type { StreamShape } from "./bodies.js";
import type { Column, Goal, Result } from "./results.js";
import { interleave } from "./rounds.js";
import { type Sample, spreads } from "./stats.js";

/** How the bench was called. */
export interface BenchOptions {
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly maxForeign: number;
  readonly repeat: boolean;
  /** Who may take part. */
  readonly parties: ReadonlySet<PartyName>;
  /** The gateway's entry point. */
  readonly gatewayEntry: string;
  readonly progress: (line: string) => void;
}

/** One row of spec/performance.md, measured. */
export interface Scenario {
  readonly id: string;
  readonly title: string;
  readonly parties: readonly PartyName[];
  run(options: BenchOptions): Promise<Result>;
}

/** Runs `work` with an upstream and these parties before it; ends them all, whatever happens. */
export async function withParties<T>(
  names: readonly PartyName[],
  shape: { answerBytes: number; stream: StreamShape },
  options: BenchOptions,
  work: (parties: readonly Party[], folder: string) => Promise<T>,
  { actors = 1 }: { actors?: number } = {},
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "cody-gateway-bench-"));
  const stops: (() => Promise<void>)[] = [];
  try {
    const upstream = await startUpstream(folder, shape);
    stops.push(() => upstream.stop());
    const taking = names.filter((name) => options.parties.has(name));
    const surroundings: Surroundings = { folder, gatewayEntry: options.gatewayEntry, actors };
    const redis = taking.includes("gateway-redis") ? await startRedis(folder) : undefined;
    if (redis) stops.push(() => redis.stop());
    const parties: Party[] = [];
    for (const name of taking) {
      const party = await startParty(name, upstream, { ...surroundings, ...(redis && { redisPort: redis.port }) });
      stops.push(() => party.running.stop());
      parties.push(party);
    }
    return await work(parties, folder);
  } finally {
    for (const stop of stops.toReversed()) await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A scenario that measures its parties in turn and compares them. */
export interface Comparison<C extends { readonly name: string }> {
  readonly id: string;
  readonly title: string;
  readonly contenders: readonly C[];
  readonly columns: readonly Column[];
  measure(contender: C): Promise<Sample>;
  goals(rows: Result["rows"]): readonly Goal[];
  /** What else the rows say. */
  remarks?(rows: Result["rows"]): readonly string[];
  readonly notes?: readonly string[];
}

/** Measures in rounds and condenses. */
export async function compare<C extends { readonly name: string }>(
  comparison: Comparison<C>,
  options: BenchOptions,
): Promise<Result> {
  const { id, title, contenders, columns, notes = [] } = comparison;
  const { samples, repeated, noisy } = await interleave(
    contenders.map((contender) => ({ name: contender.name, measure: () => comparison.measure(contender) })),
    { ...options, progress: (line) => options.progress(`${id} ${line}`) },
  );
  const rows = [...samples].map(([name, all]) => ({ name, figures: spreads(all) }));
  const about = `${options.rounds} rounds of ${options.seconds} s; ${repeated} measurements repeated and ${noisy} kept although other processes used more than ${options.maxForeign * 100} % of a core`;
  return {
    id,
    title,
    columns,
    rows,
    goals: comparison.goals(rows),
    notes: [...(comparison.remarks?.(rows) ?? []), ...notes, about],
  };
}

/** Fails with what the party answered when it does not answer as it should. */
export async function check(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  expected: RegExp,
): Promise<void> {
  const answer = await fetch(url, {
    method: "POST",
    headers,
    body: new Uint8Array(body),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await answer.text();
  if (answer.status !== 200 || !expected.test(text))
    throw new Error(`${url} answered ${answer.status}: ${text.slice(0, 500)}`);
}
