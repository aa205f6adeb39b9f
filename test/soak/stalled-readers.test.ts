// A thousand callers that read nothing of twenty megabytes each. `npm run test:soak`.

import { it } from "vitest";
import { stalledReaders } from "../scenarios/stalled-readers.js";

it("a thousand readers that stall cost little while they are there, and are gone when their time is over", async () => {
  console.log(await stalledReaders(1_000));
}, 240_000);
