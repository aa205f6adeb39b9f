// Files share a process: none may leave anything behind that the next one would meet.

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, vi } from "vitest";
import { intervals } from "./intervals.js";

/** A gateway that goes on has more; a part of one that a test has not ended keeps nobody busy. */
const fewIntervals = 5;

const before = {
  env: { ...process.env },
  cwd: process.cwd(),
  servers: servers(),
  intervals: new Set(intervals().keys()),
};

afterAll(async () => {
  expect(vi.isFakeTimers(), "a file leaves fake timers behind").toBe(false);
  expect({ ...process.env }, "a file leaves another environment behind").toEqual(before.env);
  expect(process.cwd(), "a file leaves another working directory behind").toBe(before.cwd);
  const left = (): boolean => servers() > before.servers || ownIntervals().length > fewIntervals;
  for (const end = performance.now() + 30_000; left() && performance.now() < end; ) await sleep(10);
  expect(servers(), "a file leaves servers behind").toBeLessThanOrEqual(before.servers);
  if (ownIntervals().length > fewIntervals)
    expect.fail(`a file leaves behind what goes on for ever:\n${ownIntervals().slice(0, 3).map(stackOf).join("\n")}`);
});

/** What this file has begun and not ended. */
function ownIntervals(): readonly Error[] {
  return [...intervals()].filter(([timer]) => !before.intervals.has(timer)).map(([, begun]) => begun);
}

function stackOf({ stack = "" }: Error): string {
  return stack.split("\n").slice(2, 6).join("\n");
}

/** Ports that this process listens on. */
function servers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "TCPServerWrap" || name === "PipeServerWrap")
    .length;
}
