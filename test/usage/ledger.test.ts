import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLedger, type LedgerOptions } from "../../src/usage/ledger.js";
import { createMemoryOutbox } from "../../src/usage/memory-outbox.js";
import { EventsRefusedError, type Sink, SinkBusyError } from "../../src/usage/sink.js";
import { makeEvent } from "../contract/sink.js";
import { silentLog } from "../helpers/log.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Behaviour = "ok" | "fail" | "hang";

/** A sink that remembers the batches it took, and behaves as the test says. */
function makeSink(name = "fake") {
  const batches: string[][] = [];
  const attempts: number[] = [];
  const state = { behaviour: "ok" as Behaviour, closed: 0, release: () => {} };
  const sink: Sink = {
    name,
    async send(batch) {
      attempts.push(batch.length);
      if (state.behaviour === "fail") throw new Error("sink is away");
      if (state.behaviour === "hang") await new Promise<void>((resolve) => (state.release = resolve));
      batches.push(batch.map(({ id }) => id));
    },
    async close() {
      state.closed += 1;
    },
  };
  return { sink, batches, attempts, state, ids: () => batches.flat() };
}

function makeLedger(
  sinks: readonly { sink: Sink }[],
  { maxWaiting = 100_000, ...options }: Partial<LedgerOptions> & { maxWaiting?: number } = {},
) {
  const lines: string[] = [];
  const counts: Record<string, number> = {};
  const say = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  };
  const ledger = createLedger(
    {
      outbox: createMemoryOutbox(
        sinks.map(({ sink }) => sink.name),
        { maxWaiting },
      ),
      sinks: sinks.map(({ sink }) => sink),
      log: { debug() {}, info: say("info"), warn: say("warn"), error: say("error") },
      count: (sink, result, events) => {
        counts[`${sink} ${result}`] = (counts[`${sink} ${result}`] ?? 0) + events;
      },
      random: () => 1,
    },
    options,
  );
  const emit = (...ids: (string | number)[]): void => {
    for (const id of ids) ledger.emit(makeEvent({ id: `${id}` }));
  };
  return { ledger, lines, counts, emit, errors: () => lines.filter((line) => line.startsWith("error")) };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

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

  describe("with a sink that refuses events", () => {
    /** Refuses batches with events that `refuses`, for good. */
    function pickySink(refuses: (id: string) => boolean) {
      const made = makeSink("picky");
      const asked: string[][] = [];
      const sink: Sink = {
        ...made.sink,
        async send(batch) {
          asked.push(batch.map(({ id }) => id));
          if (batch.some(({ id }) => refuses(id))) throw new EventsRefusedError("answered 400");
          await made.sink.send(batch);
        },
      };
      return { ...made, sink, asked };
    }
    const odd = (id: string) => id.startsWith("bad");

    it("delivers the others in order, and parks those after three tries, each seen by operators in full", async () => {
      const sink = pickySink(odd);
      const { emit, counts, errors, ledger } = makeLedger([sink]);
      emit(...range(0, 40), "bad 1", ...range(40, 70), "bad 2", ...range(70, 99));

      await vi.advanceTimersByTimeAsync(200 + 250 + 500);

      expect(sink.ids()).toEqual(range(0, 99).map(String));
      expect(sink.asked.filter((ids) => ids.length === 1 && ids[0] === "bad 1")).toHaveLength(3);
      expect(counts).toEqual({ "picky delivered": 99, "picky parked": 2 });
      expect(errors()).toHaveLength(2);
      expect(errors()[0]).toContain(JSON.stringify({ ...makeEvent({ id: "bad 1" }) }));
      expect(errors()[0]).toContain('"why":"answered 400","kept":true');
      expect(ledger.backlog()).toBe(0);
    });

    it("does not park what is refused once and taken later", async () => {
      let patience = 2;
      const sink = pickySink((id) => odd(id) && patience-- > 0);
      const { emit, counts } = makeLedger([sink]);
      emit(1, "bad", 2);

      await vi.advanceTimersByTimeAsync(2_000);

      expect(sink.ids().toSorted()).toEqual(["1", "2", "bad"]);
      expect(counts["picky parked"]).toBeUndefined();
    });

    it("parks nothing while the sink takes nothing at all, and asks ever less", async () => {
      const sink = pickySink(() => true);
      const { emit, counts, lines } = makeLedger([sink], { batchSize: 20 });
      emit(...range(0, 50));

      await vi.advanceTimersByTimeAsync(600_000);

      expect(counts["picky parked"]).toBeUndefined();
      expect(counts["picky lost"]).toBeUndefined();
      expect(sink.asked.length).toBeLessThan(1_000);
      expect(lines[0]).toContain("usage sink failed, will be tried again");
    });

    it("finds what the sink takes behind ever so many that it refuses", async () => {
      const sink = pickySink(odd);
      const { emit, counts } = makeLedger([sink], { batchSize: 10, maxRetryMs: 1_000 });
      emit(...range(0, 60).map((i) => `bad ${i}`), 1, 2, 3);

      await vi.advanceTimersByTimeAsync(60_000);

      expect(new Set(sink.ids())).toEqual(new Set(["1", "2", "3"]));
      expect(counts["picky parked"]).toBe(60);
    });

    it("goes on as before when the sink is away in the middle of it", async () => {
      const sink = pickySink(odd);
      const { emit } = makeLedger([sink]);
      emit(1, "bad", 2);
      await vi.advanceTimersByTimeAsync(200);
      sink.state.behaviour = "fail";
      await vi.advanceTimersByTimeAsync(5_000);
      sink.state.behaviour = "ok";

      await vi.advanceTimersByTimeAsync(60_000);

      expect(new Set(sink.ids())).toEqual(new Set(["1", "2"]));
    });
  });

  it("waits as long as a sink asks it to", async () => {
    const sink = makeSink();
    const { emit } = makeLedger([{ sink: { ...sink.sink, send: (batch) => busyOnce(batch) } }], { retryMs: 10 });
    let asked = 0;
    const busyOnce: Sink["send"] = async (batch) => {
      asked++;
      if (asked === 1) throw new SinkBusyError("429", 7_000);
      await sink.sink.send(batch);
    };
    emit(1);
    await vi.advanceTimersByTimeAsync(200 + 6_999);
    expect(asked).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sink.ids()).toEqual(["1"]);
  });

  it("says long before the end that ever more events wait, and when that is over", async () => {
    const sink = makeSink();
    const { emit, lines, ledger } = makeLedger([sink], { maxWaiting: 1_000, maxRetryMs: 60_000, retryMs: 60_000 });
    sink.state.behaviour = "fail";
    emit(...range(0, 1_000));
    await vi.advanceTimersByTimeAsync(200);
    const growing = lines.filter((line) => line.includes("ever more usage events wait"));
    expect(growing.map((line) => (JSON.parse(line.replace(/^[^{]*/, "")) as { waiting: number }).waiting)).toEqual([
      100, 250, 500, 750, 1_000,
    ]);
    expect(ledger.full()).toBe(true);

    sink.state.behaviour = "ok";
    await ledger.flush(1_000);

    expect(lines.filter((line) => line.includes("usage events are delivered again"))).toHaveLength(1);
    expect(ledger.full()).toBe(false);
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
      expect(vi.getTimerCount()).toBe(1); // the warning of the delivery under way
    });

    it("says of events that come too late that they are lost", async () => {
      const { emit, ledger, errors } = makeLedger([makeSink()]);
      await ledger.close();

      emit(1);

      expect(errors()).toHaveLength(1);
    });

    it("leaves no timer behind when all was delivered", async () => {
      const { emit, ledger } = makeLedger([makeSink()]);
      emit(1);
      await ledger.flush(1_000);

      await ledger.close();

      expect(vi.getTimerCount()).toBe(0);
    });

    it("survives a sink that cannot be closed", async () => {
      const sink = makeSink();
      const { ledger, lines } = makeLedger([{ sink: { ...sink.sink, close: () => Promise.reject(new Error("no")) } }]);

      await ledger.close();

      expect(lines).toEqual([expect.stringMatching(/^warn usage sink could not be closed/)]);
    });
  });
});
