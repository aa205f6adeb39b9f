import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createDenialEvents, type Denial } from "../../src/usage/denials.js";
import type { UsageEvent } from "../../src/usage/event.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function denialEvents() {
  const events: UsageEvent[] = [];
  let joined = 0;
  const emit = (event: UsageEvent): void => void events.push(event);
  const denials = createDenialEvents({ environment: "prod", emit, onJoined: () => void joined++ });
  return { denials, events, joined: () => joined, times: () => events.map(({ denied }) => denied?.times) };
}

function denial(about: Partial<Denial> = {}): Denial {
  const refused = { source: "dotcom-user", id: "unknown" };
  const ids = { requestId: "asked", traceId: "traced" };
  return { ...ids, edge: "sdk", refused, reason: "TOKEN_INVALID", why: "access denied", durationMs: 2, ...about };
}

const sum = (numbers: readonly (number | undefined)[]): number => numbers.reduce<number>((all, n) => all + (n ?? 0), 0);

it("tells of each of a few denials, by an id of its own", () => {
  const { denials, events } = denialEvents();

  denials.denied(denial());
  denials.denied(denial());

  expect(events).toMatchObject([
    {
      id: expect.stringMatching(/^asked\..+/) as string,
      time: new Date(Date.now() - 2).toISOString(),
      trace_id: "traced",
      environment: "prod",
      actor: { source: "dotcom-user", id: "unknown" },
      feature: "none",
      edge: "sdk",
      outcome: "refused",
      reason: "TOKEN_INVALID",
      usage: {},
      charged: false,
      denied: { why: "access denied", times: 1 },
    },
    { denied: { times: 1 } },
  ]);
  expect(new Set(events.map(({ id }) => id)).size).toBe(2);
});

it("tells of a flood by one event a second, and of all of it", () => {
  const { denials, times, joined } = denialEvents();

  for (let second = 0; second < 3; second++) {
    for (let i = 0; i < 20_000; i++) denials.denied(denial());
    vi.advanceTimersByTime(1_000);
  }

  expect(times()).toEqual([...Array<number>(10).fill(1), 19_990, 20_000, 20_000]);
  expect(joined()).toBe(59_990);
});

it("tells of the last of those that it joins", () => {
  const { denials, events } = denialEvents();
  for (let i = 0; i < 12; i++) denials.denied(denial({ requestId: `r${i}` }));

  vi.advanceTimersByTime(1_000);

  expect(events.at(-1)).toMatchObject({ id: expect.stringMatching(/^r11\./) as string, denied: { times: 2 } });
});

it("tells of each at once again after silence", () => {
  const { denials, times } = denialEvents();
  for (let i = 0; i < 10; i++) denials.denied(denial());
  vi.advanceTimersByTime(3_000);

  for (let i = 0; i < 4; i++) denials.denied(denial());
  expect(times()).toEqual(Array<number>(13).fill(1));

  vi.advanceTimersByTime(1_000);
  expect(times().at(-1)).toBe(1);
});

it("keeps actors, reasons and edges apart", () => {
  const { denials, events } = denialEvents();
  const acme = { source: "static", id: "acme" };
  for (let i = 0; i < 1_000; i++) denials.denied(denial());

  denials.denied(denial({ edge: "rpc" }));
  denials.denied(denial({ refused: acme, reason: "ACCESS_DISABLED" }));

  expect(events.slice(10)).toMatchObject([{ edge: "rpc" }, { actor: acme, reason: "ACCESS_DISABLED" }]);
});

it("stays bounded when every denial is another, and loses none", () => {
  const { denials, events, times } = denialEvents();
  const ofEach = () => {
    for (let i = 0; i < 10_000; i++)
      denials.denied(denial({ refused: { source: "static", id: `actor ${i}` }, reason: "ACCESS_DISABLED" }));
    vi.advanceTimersByTime(1_000);
  };

  ofEach();
  expect(events.length).toBe(111);
  expect(events.at(-1)).toMatchObject({
    actor: { source: "static", id: "unknown" },
    reason: "ACCESS_DISABLED",
    denied: { times: 9_890 },
  });

  ofEach();
  expect(sum(times())).toBe(20_000);
});

it("keeps no timer while nobody is denied, and tells what is left when closed", () => {
  // What other files of this process left behind may set timers, too.
  const others = vi.getTimerCount();
  const { denials, times } = denialEvents();
  denials.denied(denial());
  vi.advanceTimersByTime(3_000);
  expect(vi.getTimerCount()).toBeLessThanOrEqual(others);

  for (let i = 0; i < 15; i++) denials.denied(denial());
  denials.close();

  expect(sum(times())).toBe(16);
  expect(vi.getTimerCount()).toBeLessThanOrEqual(others);
});
