// Rounds: all parties in turn, again and again, so that what changes on the machine meets them all alike.

import { coreBusyUs, foreignShare } from "./machine.js";
import { cores, type Running } from "./running.js";
import type { Sample } from "./stats.js";

/** One thing to measure in each round. */
export interface Contender {
  readonly name: string;
  measure(): Promise<Sample>;
}

/** How to go about it. */
export interface RoundOptions {
  readonly rounds: number;
  /** A measurement counts when other processes used no more than this share of one core. */
  readonly maxForeign: number;
  /** Whether one that others disturbed is measured again. */
  readonly repeat: boolean;
  readonly progress: (line: string) => void;
}

/** What the rounds brought. */
export interface Measured {
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
  /** Measurements repeated because others used the CPU, and those kept although they did. */
  readonly repeated: number;
  readonly noisy: number;
}

const attempts = 4;

/**
 * A warm-up round and then the counted ones. A measurement that others disturbed is repeated at once, if it may be; the calmest
 * one counts.
 */
export async function interleave(contenders: readonly Contender[], options: RoundOptions): Promise<Measured> {
  const samples = new Map(contenders.map(({ name }): [string, Sample[]] => [name, []]));
  let repeated = 0;
  let noisy = 0;
  for (let round = 0; round <= options.rounds; round++) {
    for (const contender of contenders) {
      const { name } = contender;
      let best: { result: Sample; share: number } | undefined;
      for (let attempt = 0; attempt < (round > 0 && options.repeat ? attempts : 1); attempt++) {
        if (attempt > 0) repeated++;
        const measured = await foreignShare(() => contender.measure());
        if (!best || measured.share < best.share) best = measured;
        if (best.share <= options.maxForeign) break;
      }
      if (!best || round === 0) continue;
      if (best.share > options.maxForeign) noisy++;
      samples.get(name)?.push({ ...best.result, foreign: best.share });
      options.progress(
        `round ${round}/${options.rounds} ${name} ${summary(best.result)} foreign ${(best.share * 100).toFixed(0)} %`,
      );
    }
  }
  return { samples, repeated, noisy };
}

function summary(sample: Sample): string {
  return Object.entries(sample)
    .map(([figure, value]) => `${figure} ${Number(value.toPrecision(4))}`)
    .join(" ");
}

/**
 * Runs a load and adds what it cost the process: CPU microseconds for each unit of work and peak RSS. Adds how busy the two
 * cores were, the kernel's work for the network included: only a party whose core was full was measured at its limit.
 */
export async function withCost(
  running: Running,
  load: () => Promise<{ units: number; sample: Sample }>,
): Promise<Sample> {
  running.resetPeakRss();
  const before = { cpuUs: await running.cpuUs(), ...busy(), atUs: performance.now() * 1000 };
  const { units, sample } = await load();
  const after = { ...busy(), atUs: performance.now() * 1000 };
  const tookUs = after.atUs - before.atUs;
  return {
    ...sample,
    cpuUs: ((await running.cpuUs()) - before.cpuUs) / units,
    rss: running.peakRss(),
    busy: (after.measuredUs - before.measuredUs) / tookUs,
    loadBusy: (after.loadUs - before.loadUs) / tookUs,
  };
}

function busy(): { measuredUs: number; loadUs: number } {
  return { measuredUs: coreBusyUs(cores.measured), loadUs: coreBusyUs(cores.load) };
}
