// Files share a process: none may leave anything behind that the next one would meet.

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, vi } from "vitest";

const before = { env: { ...process.env }, cwd: process.cwd(), servers: servers() };

afterAll(async () => {
  expect(vi.isFakeTimers(), "a file leaves fake timers behind").toBe(false);
  expect({ ...process.env }, "a file leaves another environment behind").toEqual(before.env);
  expect(process.cwd(), "a file leaves another working directory behind").toBe(before.cwd);
  for (const end = performance.now() + 30_000; servers() > before.servers && performance.now() < end; ) await sleep(10);
  expect(servers(), "a file leaves servers behind").toBeLessThanOrEqual(before.servers);
});

/** Ports that this process listens on. */
function servers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "TCPServerWrap" || name === "PipeServerWrap")
    .length;
}
