// Checks of long prompts with phrases and with expressions that take backtracking engines for ever: how long they keep the event
// loop from others.

import { expect, it } from "vitest";
import { createGuard } from "../../src/guard/guard.js";
import type { GuardRules } from "../../src/guard/rules.js";
import { threadCpuMs } from "../helpers/thread-cpu.js";

const rules: GuardRules = {
  promptTokens: { flag: undefined, block: undefined },
  outputTokens: { flag: undefined, block: undefined },
  models: { flag: [], block: [] },
  allowed: [{ phrase: "no such words" }, { regexp: "(x+x+)+y" }],
  blocked: [{ phrase: `${"a".repeat(500)}b` }, { regexp: "(a|aa)+b$" }, { regexp: "(.*a){20}$b" }],
  blocking: true,
};
const prompt = "a".repeat(1_000_000);

/** The longest turn of the event loop, ms of CPU time, while `work` is done. */
async function longestTurn(work: Promise<unknown>): Promise<number> {
  let over = false;
  void work.finally(() => (over = true));
  let longestMs = 0;
  for (let last = threadCpuMs(); !over; ) {
    await new Promise((resolve) => setImmediate(resolve));
    const now = threadCpuMs();
    longestMs = Math.max(longestMs, now - last);
    last = now;
  }
  return longestMs;
}

it("hold the event loop up no longer than 20 ms, with a megabyte of prompt", async () => {
  const guard = createGuard({ countTokens: async () => 0 }, { common: rules, upstreams: new Map() });
  const check = guard?.checkOf("openai");
  const subject = { models: ["gpt-4o"], maxOutputTokens: undefined, numbered: false, prompt: () => prompt };
  // The first one starts the thread.
  await check?.(subject);
  const turnsMs: number[] = [];
  for (let round = 0; round < 100; round++) turnsMs.push(await longestTurn(check?.(subject) ?? Promise.reject()));
  await guard?.close();

  const sorted = turnsMs.toSorted((a, b) => a - b);
  console.log({ medianMs: sorted[50], longestMs: sorted[99] });
  expect(Math.max(...turnsMs)).toBeLessThan(20);
});
