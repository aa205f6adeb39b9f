import { expect, it } from "vitest";
import { killedGateways } from "../scenarios/killed-gateways.js";

it("gateways and Redis killed at work: all is charged once and told once, nothing stays held, and none ends with events untold", async () => {
  const plan = { rounds: 2, everyMs: 300, callers: 12, leaseMs: 4_000, redisKills: 1 };
  const { outcomes, failedDeliveries } = await killedGateways(plan);
  expect(outcomes["completed"]).toBeGreaterThan(0);
  expect(outcomes["abandoned"]).toBeGreaterThan(0);
  expect(failedDeliveries).toBeGreaterThan(2);
}, 300_000);
