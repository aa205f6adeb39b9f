import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLedger } from "../../src/usage/ledger.js";
import { createMemoryOutbox } from "../../src/usage/memory-outbox.js";
import { type Sink } from "../../src/usage/sink.js";
import { makeEvent } from "../contract/sink.js";
import { silentLog } from "../helpers/log.js";
import { makeLedger, makeSink, range } from "./ledger-setup.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("ledger", () => {
  it("delivers events together, after a short while", async () => {
    const sink = makeSink();
    const { emit } = makeLedger([sink]);

    emit(1, 2, 3);
    await vi.advanceTimersByTimeAsync(199);
    expect(sink.batches).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);

    expect(sink.batches).toEqual([["1", "2", "3"]]);
  });

  it("delivers a full batch at once", async () => {
    const sink = makeSink();
    const { emit } = makeLedger([sink], { batchSize: 3 });

    emit(1, 2, 3, 4);
    await vi.advanceTimersByTimeAsync(0);

    expect(sink.batches).toEqual([["1", "2", "3"]]);
    await vi.advanceTimersByTimeAsync(200);
    expect(sink.batches).toEqual([["1", "2", "3"], ["4"]]);
  });

  it("gives every sink every event", async () => {
    const [one, two] = [makeSink("one"), makeSink("two")];
    const { emit, counts } = makeLedger([one, two]);

    emit(1, 2);
    await vi.advanceTimersByTimeAsync(200);

    expect([one.ids(), two.ids()]).toEqual([
      ["1", "2"],
      ["1", "2"],
    ]);
    expect(counts).toEqual({ "one delivered": 2, "two delivered": 2 });
  });

  it("does nothing without sinks", async () => {
    const { ledger, emit } = makeLedger([]);

    emit(1);
    await ledger.flush(1_000);
    await ledger.close();

    expect(ledger.backlog()).toBe(0);
  });

  it("tries again what failed, ever more slowly, in order, until it succeeds", async () => {
    const sink = makeSink();
    const { emit, counts } = makeLedger([sink], { retryMs: 250, maxRetryMs: 1_000 });
    sink.state.behaviour = "fail";
    emit(1, 2);

    const attemptsAfter: number[] = [];
    for (const ms of [200, 250, 500, 1_000, 1_000]) {
      await vi.advanceTimersByTimeAsync(ms - 1);
      attemptsAfter.push(sink.attempts.length);
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(attemptsAfter).toEqual([0, 1, 2, 3, 4]);
    expect(sink.attempts).toHaveLength(5);

    emit(3);
    sink.state.behaviour = "ok";
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sink.ids()).toEqual(["1", "2", "3"]);
    expect(counts).toEqual({ "fake retried": 10, "fake delivered": 3 });
  });

  it("is as before once a sink is back", async () => {
    const sink = makeSink();
    const { emit } = makeLedger([sink], { retryMs: 1_000 });
    sink.state.behaviour = "fail";
    emit(1);
    await vi.advanceTimersByTimeAsync(200 + 1_000);
    sink.state.behaviour = "ok";
    await vi.advanceTimersByTimeAsync(2_000);

    emit(2);
    await vi.advanceTimersByTimeAsync(200);

    expect(sink.ids()).toEqual(["1", "2"]);
  });

  it("goes on with what comes next when another process took over what a sink did not take", async () => {
    const sink = makeSink();
    const outbox = createMemoryOutbox(["fake"], { maxWaiting: 100 });
    const ledger = createLedger({ outbox, sinks: [sink.sink], log: silentLog, random: () => 1 });
    sink.state.behaviour = "fail";
    ledger.emit(makeEvent({ id: "1" }));
    await vi.advanceTimersByTimeAsync(200);
    const batch = await outbox.read("fake", 10);
    await batch?.acknowledge();
    await vi.advanceTimersByTimeAsync(60_000);
    sink.state.behaviour = "ok";
    ledger.emit(makeEvent({ id: "2" }));
    await vi.advanceTimersByTimeAsync(200);
    expect(sink.ids()).toEqual(["2"]);
  });

  it("spreads retries: with luck half the wait", async () => {
    const sink = makeSink();
    sink.state.behaviour = "fail";
    const ledger = createLedger(
      { outbox: createMemoryOutbox(["fake"]), sinks: [sink.sink], log: silentLog, random: () => 0 },
      { retryMs: 1_000 },
    );
    ledger.emit(makeEvent());
    await vi.advanceTimersByTimeAsync(200);

    await vi.advanceTimersByTimeAsync(500);

    expect(sink.attempts).toHaveLength(2);
  });

  it("does not try more often because more events come", async () => {
    const sink = makeSink();
    const { emit } = makeLedger([sink], { batchSize: 10, retryMs: 60_000, maxRetryMs: 60_000 });
    sink.state.behaviour = "fail";
    emit(...range(0, 10));
    await vi.advanceTimersByTimeAsync(0);

    emit(...range(10, 1_000));
    await vi.advanceTimersByTimeAsync(1_000);

    expect(sink.attempts).toEqual([10]);
  });

  it("says that a sink fails, not each time, and that it is back", async () => {
    const sink = makeSink();
    const { emit, lines } = makeLedger([sink], { retryMs: 100, maxRetryMs: 100 });
    sink.state.behaviour = "fail";
    emit(1);
    await vi.advanceTimersByTimeAsync(200 + 100 * 19);
    sink.state.behaviour = "ok";
    await vi.advanceTimersByTimeAsync(100);

    expect(sink.attempts).toHaveLength(21);
    expect(lines.filter((line) => line.startsWith("warn"))).toHaveLength(5);
    expect(lines.at(-1)).toBe('info usage sink is back {"sink":"fake","failures":20}');
  });

  it("lets a sink that hangs wait alone, and never sends it two batches at once", async () => {
    const [stuck, sound] = [makeSink("stuck"), makeSink("sound")];
    const { emit, lines, ledger } = makeLedger([stuck, sound], { batchSize: 2, slowMs: 5_000 });
    stuck.state.behaviour = "hang";

    emit(1, 2, 3, 4, 5);
    await vi.advanceTimersByTimeAsync(60_000);

    expect(stuck.attempts).toEqual([2]);
    expect(sound.ids()).toEqual(["1", "2", "3", "4", "5"]);
    expect(ledger.backlog()).toBe(5);
    expect(lines).toEqual(['warn usage sink does not answer {"sink":"stuck","waiting":5}']);
    stuck.state.behaviour = "ok";
    stuck.state.release();
    await vi.advanceTimersByTimeAsync(200);
    expect(stuck.ids()).toEqual(["1", "2", "3", "4", "5"]);
  });

  it("takes what a sink throws at once for a failure", async () => {
    const thrower: Sink = {
      name: "thrower",
      send: () => {
        throw new Error("at once");
      },
    };
    const { emit, counts } = makeLedger([{ sink: thrower }]);

    emit(1);
    await vi.advanceTimersByTimeAsync(200);

    expect(counts).toEqual({ "thrower retried": 1 });
  });

  it("keeps at most its backlog, and says loudly what it loses, once a second", async () => {
    const sink = makeSink();
    const { emit, errors, counts, ledger } = makeLedger([sink], {
      maxWaiting: 100,
      retryMs: 3_600_000,
      maxRetryMs: 3_600_000,
    });
    sink.state.behaviour = "fail";
    emit(...range(0, 100));
    await vi.advanceTimersByTimeAsync(200);

    emit(...range(100, 1_100));
    await vi.advanceTimersByTimeAsync(1_000);
    emit(...range(1_100, 1_600));
    await vi.advanceTimersByTimeAsync(1_000);

    expect(ledger.backlog()).toBe(100);
    expect(counts["fake lost"]).toBe(1_500);
    expect(errors().map((line) => (JSON.parse(line.replace(/^[^{]*/, "")) as { lost: number }).lost)).toEqual([
      1, 999, 500,
    ]);
    sink.state.behaviour = "ok";
    await ledger.flush(1_000);
    expect(sink.ids()).toEqual(range(1_500, 1_600).map(String));
  });

  it("accounts for every event: emitted is delivered or lost", async () => {
    const sink = makeSink();
    const { emit, counts, ledger } = makeLedger([sink], { maxWaiting: 50, batchSize: 7, retryMs: 10, maxRetryMs: 20 });
    for (let round = 0; round < 40; round++) {
      sink.state.behaviour = round % 3 === 0 ? "ok" : "fail";
      emit(...range(round * 20, round * 20 + 20));
      await vi.advanceTimersByTimeAsync(30);
    }
    sink.state.behaviour = "ok";
    await ledger.flush(10_000);

    expect((counts["fake delivered"] ?? 0) + (counts["fake lost"] ?? 0)).toBe(800);
    expect(counts["fake lost"]).toBeGreaterThan(0);
    expect(sink.ids()).toEqual([...new Set(sink.ids())].toSorted((a, b) => Number(a) - Number(b)));
  });

  describe("flush", () => {
    it("delivers what waits at once, even between retries", async () => {
      const sink = makeSink();
      const { emit, ledger } = makeLedger([sink], { batchSize: 2, retryMs: 3_600_000, maxRetryMs: 3_600_000 });
      sink.state.behaviour = "fail";
      emit(1, 2, 3, 4, 5);
      await vi.advanceTimersByTimeAsync(200);
      sink.state.behaviour = "ok";

      await ledger.flush(1_000);

      expect(sink.ids()).toEqual(["1", "2", "3", "4", "5"]);
    });

    it("delivers when a sink comes back in its time, however long it was away", async () => {
      const sink = makeSink();
      const { ledger, emit } = makeLedger([sink]);
      sink.state.behaviour = "fail";
      emit(1);
      await vi.advanceTimersByTimeAsync(300_000);
      const done = ledger.flush(5_000);
      await vi.advanceTimersByTimeAsync(1_000);
      sink.state.behaviour = "ok";
      await vi.advanceTimersByTimeAsync(300);
      await done;
      expect(sink.ids()).toEqual(["1"]);
    });

    it("gives up after its time when a sink hangs or fails", async () => {
      const [stuck, away] = [makeSink("stuck"), makeSink("away")];
      const { emit, ledger } = makeLedger([stuck, away]);
      stuck.state.behaviour = "hang";
      away.state.behaviour = "fail";
      emit(1);
      let done = false;

      void ledger.flush(5_000).then(() => (done = true));
      await vi.advanceTimersByTimeAsync(4_999);
      expect(done).toBe(false);
      await vi.advanceTimersByTimeAsync(1);

      expect(done).toBe(true);
    });

    it("does not wait for events that come after it", async () => {
      const sink = makeSink();
      const { emit, ledger } = makeLedger([sink], { batchSize: 1 });
      sink.state.behaviour = "hang";
      emit(1);
      const flushed = ledger.flush(60_000);
      await vi.advanceTimersByTimeAsync(0);
      emit(2);
      sink.state.release();

      await flushed;

      expect(sink.ids()).toEqual(["1"]);
    });
  });

  describe("close", () => {
    it("says what was not delivered, and closes the sinks", async () => {
      const sink = makeSink();
      const { emit, ledger, errors, counts } = makeLedger([sink]);
      sink.state.behaviour = "hang";
      emit(1, 2, 3);
      await vi.advanceTimersByTimeAsync(200);

      await ledger.close();
      await ledger.close();

      expect(errors()).toEqual(['error usage events lost {"sink":"fake","lost":3,"lostInAll":3}']);
      expect(counts["fake lost"]).toBe(3);
      expect(sink.state.closed).toBe(1);
    });

    it("says of events that come too late that they are lost", async () => {
      const { emit, ledger, errors } = makeLedger([makeSink()]);
      await ledger.close();

      emit(1);

      expect(errors()).toHaveLength(1);
    });

    it("does nothing any more when all was delivered", async () => {
      const sink = makeSink();
      const { emit, ledger, errors } = makeLedger([sink]);
      emit(1);
      await ledger.flush(1_000);

      await ledger.close();
      await vi.advanceTimersByTimeAsync(60_000);

      expect(sink.ids()).toEqual(["1"]);
      expect(errors()).toEqual([]);
    });

    it("survives a sink that cannot be closed", async () => {
      const sink = makeSink();
      const { ledger, lines } = makeLedger([{ sink: { ...sink.sink, close: () => Promise.reject(new Error("no")) } }]);

      await ledger.close();

      expect(lines).toEqual([expect.stringMatching(/^warn usage sink could not be closed/)]);
    });
  });
});
