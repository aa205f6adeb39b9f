import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createDenialLog } from "../../src/telemetry/denials.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function denialLog() {
  const lines: object[] = [];
  return { lines, denials: createDenialLog({ info: (fields) => lines.push(fields) }) };
}

it("says the first refusal at once", () => {
  const { lines, denials } = denialLog();

  denials.denied("a", () => ({ reason: "TOKEN_INVALID" }));

  expect(lines).toEqual([{ reason: "TOKEN_INVALID" }]);
});

it("says alike refusals once a second, with their number", () => {
  const { lines, denials } = denialLog();

  for (let second = 0; second < 3; second++) {
    for (let i = 0; i < 20_000; i++) denials.denied("a", () => ({ reason: "TOKEN_INVALID" }));
    vi.advanceTimersByTime(1_000);
  }

  expect(lines).toEqual([
    { reason: "TOKEN_INVALID" },
    { reason: "TOKEN_INVALID", times: 19_999 },
    { reason: "TOKEN_INVALID", times: 20_000 },
    { reason: "TOKEN_INVALID", times: 20_000 },
  ]);
});

it("tells different refusals apart", () => {
  const { lines, denials } = denialLog();

  denials.denied("a", () => ({ actor: "a" }));
  denials.denied("b", () => ({ actor: "b" }));

  expect(lines).toEqual([{ actor: "a" }, { actor: "b" }]);
});

it("says a refusal at once again after a second of silence", () => {
  const { lines, denials } = denialLog();
  denials.denied("a", () => ({ n: 1 }));
  vi.advanceTimersByTime(1_000);

  denials.denied("a", () => ({ n: 2 }));

  expect(lines).toEqual([{ n: 1 }, { n: 2 }]);
});

it("stays short when every refusal is another", () => {
  const { lines, denials } = denialLog();

  for (let i = 0; i < 10_000; i++) denials.denied(`key ${i}`, () => ({ i }));
  vi.advanceTimersByTime(1_000);

  expect(lines.length).toBeLessThanOrEqual(102);
  expect(lines.at(-1)).toMatchObject({ times: 9_899 });
});

it("keeps no timer while nobody is refused", () => {
  // What other files of this process left behind may set timers, too.
  const others = vi.getTimerCount();
  const { denials } = denialLog();
  denials.denied("a", () => ({}));

  vi.advanceTimersByTime(2_000);

  expect(vi.getTimerCount()).toBeLessThanOrEqual(others);
});

it("says what is left when closed", () => {
  const others = vi.getTimerCount();
  const { lines, denials } = denialLog();
  denials.denied("a", () => ({}));
  denials.denied("a", () => ({}));

  denials.close();

  expect(lines).toEqual([{}, { times: 1 }]);
  expect(vi.getTimerCount()).toBeLessThanOrEqual(others);
});
