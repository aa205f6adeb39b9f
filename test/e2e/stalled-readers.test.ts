import { it } from "vitest";
import { stalledReaders } from "../scenarios/stalled-readers.js";

it("a hundred readers that stall cost little while they are there, and are gone when their time is over", async () => {
  await stalledReaders(100);
}, 180_000);
