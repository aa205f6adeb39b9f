import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { UsageEvent } from "../../src/usage/event.js";
import type { Outbox, ParkedEvent } from "../../src/usage/outbox.js";
import { until } from "../helpers/redis.js";
import { makeEvent } from "./sink.js";

/** An outbox with what the suite needs to know of it. */
export interface OutboxUnderTest extends AsyncDisposable {
  readonly outbox: Outbox;
  /** What was parked, in order. */
  readonly parked: () => Promise<readonly ParkedEvent[]>;
  /** The same outbox after its process has ended and another one was started; undefined where it does not outlive it. */
  readonly reopened: (() => Promise<OutboxUnderTest>) | undefined;
}

export interface OutboxToMake {
  readonly sinks: readonly string[];
  readonly maxWaiting?: number;
  readonly maxParked?: number;
  readonly dropsOldest?: boolean;
}

/** An outbox in use: who listens to it, and short words for what tests do with it. */
export function useOutbox(outbox: Outbox) {
  const lost: Record<string, number> = {};
  let told = 0;
  outbox.listen({
    ready: () => void told++,
    lost: (sink, events) => void (lost[sink] = (lost[sink] ?? 0) + events),
  });
  const read = async (sink: string, max = 100) => {
    const batch = await outbox.read(sink, max);
    return { ids: batch?.events.map(({ id }) => id) ?? [], ack: () => batch?.acknowledge() ?? Promise.resolve() };
  };
  return {
    outbox,
    lost,
    told: () => told,
    append: async (...ids: (string | number)[]) => {
      for (const id of ids) outbox.append(makeEvent({ id: `${id}` }));
      await outbox.stored();
    },
    read,
    /** Reads and acknowledges until nothing is left. */
    async drain(sink: string): Promise<readonly string[]> {
      const all: string[] = [];
      for (;;) {
        const { ids, ack } = await read(sink);
        if (ids.length === 0) return all;
        all.push(...ids);
        await ack();
      }
    },
  };
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}`);

/** What every outbox must do. */
export function describeOutbox(name: string, make: (options: OutboxToMake) => Promise<OutboxUnderTest>): void {
  describe(`${name} as an outbox`, () => {
    it("gives each sink every event, whole and in order", async () => {
      await using made = await make({ sinks: ["one", "two"] });
      const { outbox, append, drain } = useOutbox(made.outbox);
      const odd = makeEvent({ model: 'local/"\\\r\n\t\u0000\u2028 語 😀 }{', usage: {}, reason: "INTERNAL" });
      outbox.append(odd);
      await outbox.stored();

      expect((await outbox.read("one", 10))?.events).toEqual([odd]);
      await append(...numbers(0, 500));
      for (const sink of ["one", "two"]) expect(await drain(sink)).toEqual([odd.id, ...numbers(0, 500)]);
    });

    it("gives the same again until it is acknowledged, and then never again", async () => {
      await using made = await make({ sinks: ["one"] });
      const { append, read } = useOutbox(made.outbox);
      await append(1, 2, 3);

      const first = await read("one", 2);
      const again = await read("one", 2);
      expect([first.ids, again.ids]).toEqual([
        ["1", "2"],
        ["1", "2"],
      ]);
      await again.ack();
      await first.ack();
      const rest = await read("one", 2);
      expect(rest.ids).toEqual(["3"]);
      await rest.ack();
      expect((await read("one")).ids).toEqual([]);
    });

    it("lets each sink go at its own pace, and keeps nothing that all have", async () => {
      await using made = await make({ sinks: ["fast", "slow"] });
      const { outbox, append, read, drain } = useOutbox(made.outbox);
      await append(...numbers(0, 250));

      expect(await drain("fast")).toEqual(numbers(0, 250));
      const some = await read("slow", 50);
      await some.ack();
      await append(250);
      expect(await drain("fast")).toEqual(["250"]);
      expect(outbox.waiting()).toBeGreaterThan(0);
      expect([...some.ids, ...(await drain("slow"))]).toEqual(numbers(0, 251));
      await outbox.stored();
      expect(outbox.waiting()).toBe(0);
    });

    it("never gives more than was asked for", async () => {
      await using made = await make({ sinks: ["one"] });
      const { append, read } = useOutbox(made.outbox);
      await append(...numbers(0, 30));
      for (const max of [1, 7, 22]) {
        const { ids, ack } = await read("one", max);
        expect(ids).toHaveLength(max);
        await ack();
      }
    });

    it("tells that there is something to read", async () => {
      await using made = await make({ sinks: ["one"] });
      const { append, told, outbox } = useOutbox(made.outbox);
      expect(await outbox.read("one", 1)).toBeUndefined();
      await append(1);
      await until(async () => told() > 0);
      expect(outbox.waiting("one")).toBeGreaterThan(0);
    });

    it("knows nothing of a sink that it was not made for", async () => {
      await using made = await make({ sinks: [] });
      const { outbox, append } = useOutbox(made.outbox);
      await append(1, 2);
      expect(outbox.full()).toBe(false);
    });

    it("loses the oldest to who is behind when too many wait, and says how many; others lose nothing", async () => {
      await using made = await make({ sinks: ["up", "away"], maxWaiting: 100 });
      const { outbox, append, drain, lost } = useOutbox(made.outbox);
      const ids: string[] = [];
      for (let from = 0; from < 400; from += 40) {
        await append(...numbers(from, from + 40));
        ids.push(...(await drain("up")));
      }
      await until(async () => (await outbox.stored(), outbox.waiting() <= 100));

      expect(ids).toEqual(numbers(0, 400));
      const rest = await drain("away");
      expect(lost).toEqual({ away: 400 - rest.length });
      expect(rest).toEqual(numbers(400 - rest.length, 400));
      expect(rest.length).toBeGreaterThan(50);
      expect(outbox.full()).toBe(false);
    });

    it("loses only what tells of refusals, where nobody is admitted any more when too many wait", async () => {
      await using made = await make({ sinks: ["away"], maxWaiting: 10, dropsOldest: false });
      const { outbox, append, drain, lost } = useOutbox(made.outbox);
      await append(...numbers(0, 10));
      expect(outbox.full()).toBe(true);
      for (const id of ["x", "y"]) outbox.append(makeEvent({ id, outcome: "refused" }));
      await append(10, 11);

      expect(await drain("away")).toEqual(numbers(0, 12));
      expect(lost).toEqual({ away: 2 });
    });

    it("says when it is full", async () => {
      await using made = await make({ sinks: ["away"], maxWaiting: 10 });
      const { outbox, append, drain } = useOutbox(made.outbox);
      await append(...numbers(0, 10));
      expect(outbox.full()).toBe(true);
      await drain("away");
      expect(outbox.full()).toBe(false);
    });

    it("keeps events that a sink refuses, with what it said, as many as there is room for", async () => {
      await using made = await make({ sinks: ["one"], maxParked: 50 });
      const { outbox } = useOutbox(made.outbox);
      const parked = (id: string): ParkedEvent => ({ sink: "one", event: makeEvent({ id }), why: "answered 400" });

      expect(await outbox.park(parked("a"))).toBe(true);
      expect(await outbox.park(parked("b"))).toBe(true);
      expect(await made.parked()).toEqual([parked("a"), parked("b")]);
      const kept = await Promise.all(numbers(2, 70).map((id) => outbox.park(parked(id))));
      expect(kept.filter(Boolean)).toHaveLength(48);
    });

    it("leaves what was not delivered to the next process, or says that it is lost", async () => {
      await using made = await make({ sinks: ["one"] });
      const { outbox, append, read, lost } = useOutbox(made.outbox);
      await append(1, 2, 3);
      await (await read("one", 1)).ack();
      await outbox.close();

      expect(made.reopened !== undefined).toBe(outbox.durable);
      if (made.reopened === undefined) {
        expect(lost).toEqual({ one: 2 });
        outbox.append(makeEvent());
        expect(lost).toEqual({ one: 3 });
        return;
      }
      await using next = await made.reopened();
      const again = useOutbox(next.outbox);
      await until(async () => (await next.outbox.stored(), next.outbox.waiting("one") > 0));
      expect(await again.drain("one")).toEqual(["2", "3"]);
      expect(lost).toEqual({});
    });

    it("gives an actor's events in their order, whoever else sends", async () => {
      await using made = await make({ sinks: ["one"] });
      const { outbox } = useOutbox(made.outbox);
      const actors = numbers(0, 40).map((id) => ({ id, source: "static" }));
      for (let round = 0; round < 10; round++)
        for (const actor of actors) outbox.append(makeEvent({ id: `${actor.id}.${round} ${randomUUID()}`, actor }));
      await outbox.stored();
      const seen = new Map<string, string[]>();
      for (let batch = await outbox.read("one", 30); batch; batch = await outbox.read("one", 30)) {
        for (const { actor, id } of batch.events as UsageEvent[])
          seen.set(actor.id, [...(seen.get(actor.id) ?? []), id.split(" ")[0] ?? ""]);
        await batch.acknowledge();
      }
      for (const { id } of actors) expect(seen.get(id)).toEqual(numbers(0, 10).map((round) => `${id}.${round}`));
    });
  });
}
