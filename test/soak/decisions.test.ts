// The promise about limits through the public quota, at length.

import { expect, it } from "vitest";
import { exactDecisions } from "../scenarios/exact-decisions.js";

it("a million decisions of four processes about 100 actors, Redis stopped ten times and its scripts lost a hundred times", async () => {
  const report = await exactDecisions({
    processes: 4,
    decisions: 1_000_000,
    actors: 100,
    limit: 2_500,
    inFlight: 16,
    concurrency: 32,
    trouble: { times: 10, everyMs: 1_500, frozenMs: 500, flushes: 10 },
  });
  console.log(report);
  expect(report.decided).toBeGreaterThanOrEqual(1_000_000);
});
