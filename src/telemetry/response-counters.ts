import { names } from "./names.js";
import { type Counter, createCounter } from "./series.js";

/** Where in a list of counters those are counted that were not answered. */
const unanswered = 0;

/** Counts answers by the surface they were given on and by their status. */
export function createResponseCounters(surfaces: ReadonlySet<string>) {
  const series = createCounter(names.responses);
  /** Each surface's counters by status. */
  const known = new Map<string, (Counter | undefined)[]>();
  const counterOf = (surface: string, status: number): Counter =>
    series.at(surfaces.has(surface) ? surface : "none", status === unanswered ? "none" : String(status));
  return {
    text: () => series.text(),
    add(surface: string, status: number = unanswered): void {
      let counters = known.get(surface);
      if (!counters) known.set(surface, (counters = []));
      (counters[status] ??= counterOf(surface, status)).add(1);
    },
  };
}
