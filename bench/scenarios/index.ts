import type { Scenario } from "../harness/scenario.js";
import { b12 } from "./actors.js";
import { byActors, byConnections } from "./growth.js";
import { b1, b2, b3 } from "./json.js";
import { b9, b14 } from "./long.js";
import { b6 } from "./one.js";
import { b11 } from "./quota.js";
import { b13 } from "./start.js";
import { b4, b5 } from "./streams.js";
import { b7, b8 } from "./typed.js";

/** All scenarios, in the order of spec/performance.md section 2, and how the cost grows. */
export const scenarios: readonly Scenario[] = [
  b1,
  b2,
  b3,
  ...b4,
  b5,
  b6,
  b7,
  b8,
  b9,
  b11,
  b12,
  b13,
  b14,
  byConnections,
  byActors,
];
