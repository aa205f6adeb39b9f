// What was used of each model in the windows of late, for people to look at. Limits are counted elsewhere, exactly; this lags
// behind by a second, and a crash loses that second.

import type { Log } from "../lib/log.js";

/** Units of one model in one window. */
export interface ModelTotals {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** By the price table; 0 where the model has no price. */
  readonly microdollars: number;
}

/** Which window. Of an actor without limits it is the day, in UTC. */
export interface UsageWindow {
  /** ms since the epoch. */
  readonly openedAt: number;
  readonly windowMs: number;
  /** Units it has; 0 without a limit. */
  readonly limit: number;
}

/** One request that was charged. */
export interface UsageSample extends ModelTotals {
  /** `source/id`. */
  readonly actor: string;
  readonly feature: string;
  readonly model: string;
  readonly window: UsageWindow;
}

/** What was used in one window, by model. */
export interface WindowUsage extends UsageWindow {
  readonly models: ReadonlyMap<string, ModelTotals>;
}

/** Where totals are kept: `test/contract/totals-store.ts` is what every store must do. */
export interface TotalsStore {
  /** Adds to what is kept. Samples of one batch differ in actor, feature, model or window. */
  add(samples: readonly UsageSample[]): Promise<void>;
  /** The last windows, newest first. */
  read(actor: string, feature: string): Promise<readonly WindowUsage[]>;
}

export interface UsageTotals {
  /** Never throws and never waits. */
  add(sample: UsageSample): void;
  read(actor: string, feature: string): Promise<readonly WindowUsage[]>;
  /** Writes what waits. */
  close(): Promise<void>;
}

/** Windows of an actor and feature that are kept. */
export const keptWindows = 8;
/** Longest time that they are kept. */
export const keptMs = 62 * 86_400_000;
const flushMs = 1_000;
/** Most different samples that wait while the store is away; further ones are left out. */
const maxWaiting = 20_000;

/** Samples alike, added up as they come. */
type Sum = { -readonly [K in keyof UsageSample]: UsageSample[K] };

export function createUsageTotals(parts: { readonly store: TotalsStore; readonly log: Log }): UsageTotals {
  const { store, log } = parts;
  let waiting = new Map<string, Sum>();
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> | undefined;

  function gather(sample: UsageSample): void {
    const { actor, feature, model, window } = sample;
    const key = `${actor}\n${feature}\n${model}\n${window.openedAt}`;
    const sum = waiting.get(key);
    if (sum === undefined) {
      if (waiting.size < maxWaiting) waiting.set(key, { ...sample });
      return;
    }
    sum.window = window;
    sum.requests += sample.requests;
    sum.inputTokens += sample.inputTokens;
    sum.outputTokens += sample.outputTokens;
    sum.microdollars += sample.microdollars;
  }

  async function flush(): Promise<void> {
    await flushing;
    if (waiting.size === 0) return;
    const batch = [...waiting.values()];
    waiting = new Map();
    flushing = store.add(batch).catch((error: unknown) => {
      log.debug({ err: error }, "usage totals could not be kept, will be tried again");
      for (const sample of batch) gather(sample);
      later();
    });
    await flushing;
  }

  function later(): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      void flush();
    }, flushMs).unref();
  }

  return {
    add(sample) {
      gather(sample);
      later();
    },
    async read(actor, feature) {
      await flush();
      return store.read(actor, feature);
    },
    async close() {
      clearTimeout(timer);
      await flush();
    },
  };
}

export function addTotals(a: ModelTotals, b: ModelTotals): ModelTotals {
  return {
    requests: a.requests + b.requests,
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    microdollars: a.microdollars + b.microdollars,
  };
}

/**
 * Puts together what is one window: gateways tell its opening by their own clocks, so that it differs by as much as these do.
 * Newest first, at most `keptWindows`.
 */
export function joinWindows(windows: readonly WindowUsage[]): readonly WindowUsage[] {
  const joined: WindowUsage[] = [];
  for (const window of windows.toSorted((a, b) => b.openedAt - a.openedAt)) {
    const last = joined.at(-1);
    if (!last || last.openedAt - window.openedAt >= window.windowMs / 2) joined.push(window);
    else joined[joined.length - 1] = { ...last, models: addModels(last.models, window.models) };
  }
  return joined.slice(0, keptWindows);
}

function addModels(a: WindowUsage["models"], b: WindowUsage["models"]): WindowUsage["models"] {
  const sum = new Map(a);
  for (const [model, totals] of b) {
    const known = sum.get(model);
    sum.set(model, known ? addTotals(known, totals) : totals);
  }
  return sum;
}
