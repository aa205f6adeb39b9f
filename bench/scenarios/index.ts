import type { Scenario } from "../harness/scenario.js";
import { b1, b3 } from "./json.js";
import { b6 } from "./one.js";
import { b4, b5 } from "./streams.js";

/** All scenarios, in the order of spec/performance.md. */
export const scenarios: readonly Scenario[] = [b1, b3, ...b4, b5, b6];
