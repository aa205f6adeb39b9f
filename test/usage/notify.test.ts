import { describe, expect, it } from "vitest";
import {
  type Alert,
  type AlertChannel,
  type AlertClaims,
  AlertRefusedError,
  type ReachedLimit,
} from "../../src/usage/alert.js";
import { createWebhookChannel } from "../../src/usage/channels/webhook.js";
import { createMemoryClaims } from "../../src/usage/memory-claims.js";
import { createNotifier } from "../../src/usage/notify.js";
import { type FakeClock, fakeClock } from "../helpers/fake-clock.js";
import { silentLog } from "../helpers/log.js";
import { webhookListener } from "../helpers/webhook.js";

const acme = { source: "static", id: "acme", name: "Acme" };

/** Lets what waits for nothing but its turn have it. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function setup(
  options: {
    readonly claims?: AlertClaims;
    readonly send?: AlertChannel["send"];
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
    { retriesMs: [1, 1], settleMs: 1, ...(options.maxWaiting !== undefined && { maxWaiting: options.maxWaiting }) },
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
    const memory = createMemoryClaims({ clock: fakeClock() });
    const claims: AlertClaims = {
      ...memory,
      async claim({ threshold }) {
        asked.push(threshold);
        if (asked.length === 1) throw new Error("away");
        return asked.length === 2 ? "told" : "yours";
      },
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
    await until(() => failing.counted.includes("given_up"));
    expect(failing.counted).toEqual(["retried", "retried", "given_up"]);
    expect(new Set(attempts).size).toBe(1);

    const refusing = setup({ send: () => Promise.reject(new AlertRefusedError("answered 404")) });
    refusing.notifier.observed(acme, [refusing.reached(180)]);
    await until(() => refusing.counted.length > 0);
    expect(refusing.counted).toEqual(["lost"]);

    const slow = setup({ send: () => new Promise(() => undefined), maxWaiting: 2 });
    for (let n = 0; n < 9; n++) slow.notifier.observed({ ...acme, id: String(n) }, [slow.reached(180)]);
    await settled();
    expect(slow.counted).toEqual(Array.from({ length: 6 }, () => "given_up"));
  });

  it("gives up what still waits when it ends", async () => {
    const { notifier, reached, counted } = setup({ send: () => new Promise(() => undefined) });
    for (const id of ["a", "b", "c"]) notifier.observed({ ...acme, id }, [reached(180)]);
    await settled();
    await notifier.close();

    expect(counted).toEqual(["given_up", "given_up"]);
  });

  it("tells of what could not be told with a later look, after a pause, and then no more", async () => {
    let away = true;
    const { clock, notifier, reached, sent, counted } = setup({
      send: () => (away ? Promise.reject(new Error("did not answer in time")) : Promise.resolve()),
    });
    const look = async (used: number): Promise<void> => {
      notifier.observed(acme, [reached(used)]);
      await settled();
    };
    await look(180);
    await until(() => counted.includes("given_up"));
    await settled();
    away = false;
    await look(181);
    expect(sent).toEqual([]);

    await clock.advanceMs(60_001);
    for (const used of [182, 183, 184]) await look(used);
    await clock.advanceMs(600_000);
    await look(185);

    expect(sent.map(({ threshold, reached: { used } }) => [threshold, used])).toEqual([[90, 182]]);
    expect(counted).toEqual(["retried", "retried", "given_up", "sent"]);
  });

  it("sends an alert whose channel hung once it answers again, and then no more", async () => {
    await using hook = await webhookListener();
    const { send, close } = createWebhookChannel(`${hook.url}/alerts`, { timeoutMs: 50 });
    const { clock, notifier, reached, sent, counted } = setup({ send });
    hook.answer(() => undefined);
    notifier.observed(acme, [reached(180)]);
    await until(() => counted.includes("given_up"));
    expect(sent).toEqual([]);

    hook.answer((res) => void res.end());
    await settled();
    for (const waitMs of [60_001, 1_000, 600_000]) {
      await clock.advanceMs(waitMs);
      notifier.observed(acme, [reached(180)]);
      await until(() => sent.length === 1);
    }
    await settled();
    expect(sent).toHaveLength(1);
    expect(hook.posted).toHaveLength(4);
    await close();
  });

  it("leaves what it could not tell of to another process, at once when it ends", async () => {
    const clock = fakeClock();
    const claims = createMemoryClaims({ clock });
    const hanging = setup({ clock, claims, send: () => new Promise(() => undefined) });
    const other = setup({ clock, claims });
    for (const id of ["a", "b"]) hanging.notifier.observed({ ...acme, id }, [hanging.reached(180)]);
    await settled();
    const look = async (): Promise<void> => {
      for (const id of ["a", "b"]) other.notifier.observed({ ...acme, id }, [other.reached(181)]);
      await settled();
    };
    await look();
    expect(other.sent).toEqual([]);

    await hanging.notifier.close();
    await clock.advanceMs(300_001);
    await look();
    await look();

    // Of the first nobody knows whether it arrived: its claim ended by itself.
    expect(other.sent.map(({ actor }) => actor.id).toSorted()).toEqual(["a", "b"]);
  });

  it("goes on to say that it was told of while the store is away, so that nobody tells again", async () => {
    const clock = fakeClock();
    const memory = createMemoryClaims({ clock });
    let said = 0;
    const claims: AlertClaims = {
      ...memory,
      async told(claim) {
        said++;
        if (said === 1) throw new Error("away");
        await memory.told(claim);
      },
    };
    const first = setup({ clock, claims });
    const second = setup({ clock, claims });
    first.notifier.observed(acme, [first.reached(180)]);
    await until(() => said === 2);
    await clock.advanceMs(600_000);
    second.notifier.observed(acme, [second.reached(185)]);
    await settled();
    expect([first.sent.length, second.sent.length]).toEqual([1, 0]);
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
