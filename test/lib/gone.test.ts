import { expect, it } from "vitest";
import { saysCallerLeft } from "../../src/lib/gone.js";

const coded = (code: string): Error => Object.assign(new Error("x"), { code });

it.each([
  [coded("ERR_STREAM_DESTROYED"), true],
  [coded("ERR_HTTP2_INVALID_STREAM"), true],
  [new Error("wrapped", { cause: coded("ECANCELED") }), true],
  [Object.assign(new Error("as Connect has it"), { code: 10, cause: coded("ERR_HTTP2_INVALID_STREAM") }), true],
  [coded("ECONNREFUSED"), false],
  [new Error("ERR_STREAM_DESTROYED"), false],
  [{ code: "EPIPE" }, false],
  [undefined, false],
])("%o tells that the caller left: %s", (error, left) => {
  expect(saysCallerLeft(error)).toBe(left);
});
