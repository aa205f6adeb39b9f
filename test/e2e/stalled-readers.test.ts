import { it } from "vitest";
import { stalledReaders } from "../scenarios/stalled-readers.js";

it("two hundred readers that stall cost little while they are there, and are gone when their time is over", async () => {
  await stalledReaders(200);
}, 180_000);
