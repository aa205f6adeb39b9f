import { describe, expect, it } from "vitest";
import {
  type Alert,
  type AlertChannel,
  type AlertClaims,
  AlertRefusedError,
  type ReachedLimit,
} from "../../src/usage/alert.js";
import { createMemoryClaims } from "../../src/usage/memory-claims.js";
import { createNotifier } from "../../src/usage/notify.js";
import { type FakeClock, fakeClock } from "../helpers/fake-clock.js";
import { silentLog } from "../helpers/log.js";

const acme = { source: "static", id: "acme", name: "Acme" };

/** Lets what waits for nothing but its turn have it. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function setup(
  options: {
    readonly claims?: AlertClaims;
    readonly send?: (alert: Alert) => Promise<void>;
    readonly clock?: FakeClock;
    readonly maxWaiting?: number;
  } = {},
) {
  const clock = options.clock ?? fakeClock();
  const sent: Alert[] = [];
  const counted: string[] = [];
  const channel: AlertChannel = {
    name: "test",
    key: "test",
    async send(alert) {
      await options.send?.(alert);
      sent.push(alert);
    },
    close: async () => undefined,
  };
  const notifier = createNotifier(
    {
      rules: [{ channel, thresholds: [90, 95, 100], sources: ["static"] }],
      claims: options.claims ?? createMemoryClaims({ clock }),
      clock,
      log: silentLog,
      count: (_, result) => counted.push(result),
    },
    { retriesMs: [1, 1], ...(options.maxWaiting !== undefined && { maxWaiting: options.maxWaiting }) },
  );
  if (!notifier) throw new Error("no notifier");
  const resetAt = new Date(clock.now() + 3_600_000);
  const reached = (used: number, over: Partial<ReachedLimit> = {}): ReachedLimit => ({
    feature: "chat_completions",
    unit: "requests",
    limit: 200,
    used,
    windowMs: 86_400_000,
    resetAt,
    models: undefined,
    ...over,
  });
  return { clock, notifier, reached, sent, counted };
}

describe("a notifier", () => {
  it("is not there where nobody wants to know anything", () => {
    const { clock } = setup();
    const parts = { claims: createMemoryClaims({ clock }), clock, log: silentLog, count: () => undefined };
    expect(createNotifier({ ...parts, rules: [] })).toBeUndefined();
  });

  it("tells of each threshold once, and of none that a higher one has gone before", async () => {
    const { notifier, reached, sent } = setup();
    for (const used of [0, 179, 180, 181, 189, 200, 190, 200, 250]) {
      notifier.observed(acme, [reached(used)]);
      await settled();
    }

    expect(sent.map(({ threshold, percent }) => [threshold, percent])).toEqual([
      [90, 90],
      [100, 100],
    ]);
  });

  it("tells apart limits, actors, and the amounts of a limit", async () => {
    const { notifier, reached, sent } = setup();
    notifier.observed(acme, [
      reached(180),
      reached(180, { feature: "code_completions" }),
      reached(180, { models: ["gpt-*"] }),
      reached(180, { unit: "tokens" }),
      reached(180, { windowMs: 3_600_000 }),
      reached(95, { limit: 100 }),
      reached(180),
    ]);
    notifier.observed({ ...acme, id: "other" }, [reached(180)]);
    notifier.observed({ ...acme, source: "dotcom-user" }, [reached(180)]);
    await settled();

    expect(sent).toHaveLength(7);
  });

  it("tells anew in the next window", async () => {
    const { clock, notifier, reached, sent } = setup();
    notifier.observed(acme, [reached(180)]);
    await settled();
    await clock.advanceMs(3_600_001);
    notifier.observed(acme, [reached(180, { resetAt: new Date(clock.now() + 1_000) })]);
    await settled();

    expect(sent).toHaveLength(2);
  });

  it("tells nothing that another process has told, and asks again when it could not ask", async () => {
    const asked: number[] = [];
    const answers = [Promise.reject(new Error("away")), Promise.resolve(false)];
    for (const answer of answers) answer.catch(() => undefined);
    const claims: AlertClaims = {
      claim(_, threshold) {
        asked.push(threshold);
        return answers[asked.length - 1] ?? Promise.resolve(true);
      },
      close: async () => undefined,
    };
    const { clock, notifier, reached, sent } = setup({ claims });
    for (const waitMs of [0, 0, 5_001, 0]) {
      await clock.advanceMs(waitMs);
      notifier.observed(acme, [reached(180)]);
      await settled();
    }
    expect(asked).toEqual([90, 90]);
    expect(sent).toEqual([]);

    notifier.observed(acme, [reached(190)]);
    await settled();
    expect(sent.map(({ threshold }) => threshold)).toEqual([95]);
  });

  it("tries again some times, not where that is no use, and keeps no more than it may", async () => {
    const attempts: string[] = [];
    const failing = setup({
      send({ id }) {
        attempts.push(id);
        return Promise.reject(new Error("away"));
      },
    });
    failing.notifier.observed(acme, [failing.reached(180)]);
    await until(() => failing.counted.includes("lost"));
    expect(failing.counted).toEqual(["retried", "retried", "lost"]);
    expect(new Set(attempts).size).toBe(1);

    const refusing = setup({ send: () => Promise.reject(new AlertRefusedError("answered 404")) });
    refusing.notifier.observed(acme, [refusing.reached(180)]);
    await until(() => refusing.counted.length > 0);
    expect(refusing.counted).toEqual(["lost"]);

    const slow = setup({ send: () => new Promise(() => undefined), maxWaiting: 2 });
    for (let n = 0; n < 9; n++) slow.notifier.observed({ ...acme, id: String(n) }, [slow.reached(180)]);
    await settled();
    expect(slow.counted).toEqual(Array.from({ length: 6 }, () => "lost"));
  });

  it("counts as lost what still waits when it ends", async () => {
    const { notifier, reached, counted } = setup({ send: () => new Promise(() => undefined) });
    for (const id of ["a", "b", "c"]) notifier.observed({ ...acme, id }, [reached(180)]);
    await settled();
    await notifier.close();

    expect(counted).toEqual(["lost", "lost"]);
  });

  it("says what becomes of a test", async () => {
    const good = setup();
    expect(await good.notifier.test()).toEqual([{ channel: "test", error: undefined }]);
    expect(good.sent[0]).toMatchObject({ test: true });
    const bad = setup({ send: () => Promise.reject(new Error("answered 500")) });
    expect(await bad.notifier.test()).toEqual([{ channel: "test", error: "answered 500" }]);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
