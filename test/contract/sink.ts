import { describe, expect, it } from "vitest";
import type { UsageEvent } from "../../src/usage/event.js";
import type { Sink } from "../../src/usage/sink.js";

/** A sink with what the suite needs to know of it. */
export interface SinkUnderTest {
  readonly sink: Sink;
  /** The events that arrived so far, in order. */
  readonly received: () => Promise<readonly UsageEvent[]>;
  /** From now on nothing can be delivered. */
  readonly breakOff: () => Promise<void>;
  readonly mend: () => Promise<void>;
}

/** A usage event whose values do not matter. */
export function makeEvent(over: Partial<UsageEvent> = {}): UsageEvent {
  return {
    id: "0193b3c1-6d2e-7c3f-8a4b-5c6d7e8f9a0b",
    time: "2026-11-24T00:00:00.000Z",
    outcome: "completed",
    trace_id: "0af7651916cd43dd8448eb211c80319c",
    environment: "dev",
    actor: { id: "acme", source: "static" },
    feature: "chat_completions",
    model: "anthropic/claude-sonnet-4-5",
    provider: "anthropic",
    upstream: "anthropic",
    edge: "sdk",
    stream: true,
    upstreamStatus: 200,
    usage: { inputTokens: 10, outputTokens: 20 },
    charged: true,
    durationMs: 1_200,
    upstreamMs: 1_199,
    firstByteMs: 300,
    ...over,
  };
}

const events = (...ids: string[]) => ids.map((id) => makeEvent({ id }));

/** What every sink must do. Run it for each sink. */
export function describeSink(name: string, make: () => Promise<SinkUnderTest>): void {
  describe(`${name} as a sink`, () => {
    it("has a short, plain name", async () => {
      expect((await make()).sink.name).toMatch(/^[a-z][a-z-]{0,19}$/);
    });

    it("delivers every field of every event, in order", async () => {
      const { sink, received } = await make();
      const first = [makeEvent({ id: "1" }), makeEvent({ id: "2", outcome: "failed", reason: "INTERNAL", usage: {} })];

      await sink.send(first);
      await sink.send(events("3"));

      expect(await received()).toEqual([...first, ...events("3")]);
    });

    it("delivers names as they are, whatever characters they hold", async () => {
      const { sink, received } = await make();
      const odd = makeEvent({ model: 'local/"\\\r\n\t\u0000\u2028\u2029\u202e 語 😀', actor: { id: "", source: "s" } });

      await sink.send([odd, ...events("next")]);

      expect(await received()).toEqual([odd, ...events("next")]);
    });

    it("delivers large batches", async () => {
      const { sink, received } = await make();
      const batch = events(...Array.from({ length: 1_000 }, (_, i) => `${i}`));

      await sink.send(batch);

      expect((await received()).map(({ id }) => id)).toEqual(batch.map(({ id }) => id));
    });

    it("takes an empty batch", async () => {
      const { sink, received } = await make();

      await sink.send([]);

      expect(await received()).toEqual([]);
    });

    it("rejects what it cannot deliver, and delivers it when asked again", async () => {
      const { sink, received, breakOff, mend } = await make();
      await sink.send(events("1"));
      await breakOff();

      await expect(sink.send(events("2", "3"))).rejects.toThrow();
      await mend();
      await sink.send(events("2", "3"));
      await sink.send(events("4"));

      const ids = (await received()).map(({ id }) => id);
      expect([...new Set(ids)]).toEqual(["1", "2", "3", "4"]);
    });

    it("delivers a batch again that it is given again: readers know events by their id", async () => {
      const { sink, received } = await make();

      await sink.send(events("1"));
      await sink.send(events("1"));

      expect(new Set((await received()).map(({ id }) => id))).toEqual(new Set(["1"]));
    });

    it("can be closed", async () => {
      const { sink } = await make();
      await sink.send(events("1"));

      await sink.close?.();
    });
  });
}

/** The events in a text of one JSON object a line; lines that a failure cut short are skipped. */
export function eventsIn(text: string): UsageEvent[] {
  return text.split("\n").flatMap((line) => {
    try {
      return line === "" ? [] : [JSON.parse(line) as UsageEvent];
    } catch {
      return [];
    }
  });
}
