import { EventEmitter, once } from "node:events";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { untilStopped } from "../../src/cli/lifecycle.js";
import { fakeIo } from "./fake-io.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Drain = { delayMs?: number; timeoutMs?: number } | undefined;

/** A gateway that drains when the test says so. */
function running(options: { isTTY?: boolean; drain?: () => Promise<"clean" | "cut"> } = {}) {
  const fake = fakeIo();
  const drains: Drain[] = [];
  const hangups: number[] = [];
  const drained = new EventEmitter();
  const ended = untilStopped({
    gateway: {
      drain: (given) => {
        drains.push(given);
        return options.drain?.() ?? once(drained, "end").then(([outcome]) => outcome as "clean" | "cut");
      },
    },
    log: fake.io.createLog({ level: "info", format: "json" }),
    io: { ...fake.io, stderr: { ...fake.io.stderr, isTTY: options.isTTY ?? false } },
    onHangup: () => hangups.push(1),
  });
  return { ...fake, drains, hangups, ended, finish: (outcome: "clean" | "cut") => drained.emit("end", outcome) };
}

it.each(["SIGTERM", "SIGINT"] as const)("drains at %s, as configured, and ends with 0", async (signal) => {
  const { state, drains, ended, finish } = running();

  state.signal?.(signal);
  finish("clean");

  expect(await ended).toBe(0);
  expect(drains).toEqual([{}]);
});

it("does not wait for load balancers when stopped at a terminal", async () => {
  const { state, drains, ended, finish } = running({ isTTY: true });

  state.signal?.("SIGINT");
  finish("clean");

  expect(await ended).toBe(0);
  expect(drains).toEqual([{ delayMs: 0 }]);
});

it("shortens at the second signal, and ends at once at the third", async () => {
  const { state, drains, ended } = running();

  state.signal?.("SIGTERM");
  state.signal?.("SIGTERM");
  expect(drains).toEqual([{}, { delayMs: 0, timeoutMs: 1_000 }]);
  state.signal?.("SIGINT");

  expect(await ended).toBe(1);
});

it("goes on at SIGHUP", async () => {
  const { state, drains, hangups, ended, finish } = running();

  state.signal?.("SIGHUP");
  state.signal?.("SIGHUP");
  expect([drains.length, hangups.length]).toEqual([0, 2]);

  state.signal?.("SIGTERM");
  finish("clean");
  expect(await ended).toBe(0);
});

it("logs an error that nobody caught, drains shortly and ends with 1", async () => {
  const { state, drains, ended, finish, log } = running();

  state.fatal?.(new Error("boom"));
  finish("cut");

  expect(await ended).toBe(1);
  expect(drains).toEqual([{ delayMs: 0, timeoutMs: 2_500 }]);
  expect(log[0]).toMatchObject({ level: "error", fields: { error: new Error("boom") } });
});

it("ends with 1 after five seconds when a drain after such an error hangs", async () => {
  const { state, ended } = running();

  state.fatal?.(new Error("boom"));
  await vi.advanceTimersByTimeAsync(5_000);

  expect(await ended).toBe(1);
});

it("ends at once at a second error that nobody caught", async () => {
  const { state, ended } = running();

  state.fatal?.(new Error("boom"));
  state.fatal?.(new Error("again"));

  expect(await ended).toBe(1);
});

it("ends with 1 when it cannot stop in order", async () => {
  const { state, ended, log } = running({ drain: () => Promise.reject(new Error("no")) });

  state.signal?.("SIGTERM");

  expect(await ended).toBe(1);
  expect(log.at(-1)).toMatchObject({ level: "error", message: "could not stop in order" });
});

it("gives the signals back when it ends", async () => {
  const { state, ended, finish } = running();
  state.signal?.("SIGTERM");
  finish("clean");
  await ended;

  expect(state.signal).toBeUndefined();
  expect(state.fatal).toBeUndefined();
});
