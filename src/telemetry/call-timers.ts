// Histograms of calls to stores, by operation and by how they ended.

import { UnavailableError } from "../errors.js";
import type { CallTimer } from "../lib/timed.js";
import type { Histogram, Series } from "./series.js";

/** A timer for one operation, for histograms with the labels `operation` and `outcome`. */
export function createCallTimer(series: Series<Histogram>, operation: string): CallTimer {
  const histograms = new Map<string, Histogram>();
  const observe = (outcome: string, tookMs: number): void => {
    let histogram = histograms.get(outcome);
    if (!histogram) histograms.set(outcome, (histogram = series.at(operation, outcome)));
    histogram.observe(tookMs / 1_000);
  };
  return {
    answered: (tookMs, answer) => observe(isLate(answer) ? "late" : "ok", tookMs),
    failed: (tookMs, error) => observe(error instanceof UnavailableError ? "unavailable" : "failed", tookMs),
  };
}

/** Stores answer so where the deadline of a call had passed before they looked at it. */
function isLate(answer: unknown): boolean {
  return typeof answer === "object" && answer !== null && "kind" in answer && answer.kind === "late";
}
