import * as index from "undici";
import { expect, it } from "vitest";
import { Agent, Pool } from "../../src/lib/undici.js";

it("is what undici's index exports, loaded without the rest", () => {
  expect(Agent).toBe(index.Agent);
  expect(Pool).toBe(index.Pool);
});
