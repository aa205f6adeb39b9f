import { expect, it } from "vitest";
import { exactDecisions } from "../scenarios/exact-decisions.js";

it("50,000 decisions of four processes about 100 actors, Redis stopped and its scripts lost now and then: nobody over its limit, everybody exactly at it", async () => {
  const report = await exactDecisions({
    processes: 4,
    decisions: 50_000,
    actors: 100,
    limit: 100,
    inFlight: 8,
    concurrency: 32,
    trouble: { times: 2, everyMs: 400, frozenMs: 500, flushes: 10 },
  });
  expect(report.decided).toBeGreaterThanOrEqual(50_000);
  expect(report.stops).toBeGreaterThan(0);
}, 150_000);
