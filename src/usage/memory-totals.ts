import { addTotals, joinWindows, keptWindows, type TotalsStore, type UsageSample, type WindowUsage } from "./totals.js";

/** Most actors and features that are kept; those not added to for the longest go first. */
const maxKept = 20_000;

/** Totals of one process, forgotten at its end. */
export function createMemoryTotals(): TotalsStore {
  const kept = new Map<string, Map<number, WindowUsage>>();

  function add(sample: UsageSample): void {
    const { window, model } = sample;
    const key = keyOf(sample.actor, sample.feature);
    const windows = kept.get(key) ?? new Map<number, WindowUsage>();
    kept.delete(key);
    kept.set(key, windows);
    if (kept.size > maxKept) kept.delete(kept.keys().next().value as string);
    const models = new Map(windows.get(window.openedAt)?.models);
    const known = models.get(model);
    const { requests, inputTokens, outputTokens, microdollars } = sample;
    const totals = { requests, inputTokens, outputTokens, microdollars };
    models.set(model, known ? addTotals(known, totals) : totals);
    windows.set(window.openedAt, { ...window, models });
    // One window can be kept under more than one opening.
    while (windows.size > 4 * keptWindows) windows.delete(Math.min(...windows.keys()));
  }

  return {
    add: async (samples) => samples.forEach(add),
    read: async (actor, feature) => joinWindows([...(kept.get(keyOf(actor, feature))?.values() ?? [])]),
  };
}

function keyOf(actor: string, feature: string): string {
  return `${feature} ${actor}`;
}
