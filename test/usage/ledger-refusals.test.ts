import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EventsRefusedError, type Sink, SinkBusyError } from "../../src/usage/sink.js";
import { makeEvent } from "../contract/sink.js";
import { makeLedger, makeSink, range } from "./ledger-setup.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("a ledger with a sink that refuses events", () => {
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

describe("a ledger with a sink that says which events it refuses", () => {
  /** Takes all but those that `refuses`, for good. */
  function namingSink(refuses: (id: string) => boolean) {
    const made = makeSink("naming");
    const asked: number[] = [];
    const sink: Sink = {
      ...made.sink,
      batchSize: 500,
      async send(batch) {
        asked.push(batch.length);
        if (made.state.behaviour === "fail") throw new Error("sink is away");
        const taken = batch.filter(({ id }) => !refuses(id));
        const others = batch.filter((event) => !taken.includes(event));
        const refused = others.map((event) => ({ event, why: `no ${event.id}` }));
        if (taken.length > 0) await made.sink.send(taken);
        if (refused.length > 0) throw new EventsRefusedError("no", refused);
      },
    };
    return { ...made, sink, asked };
  }
  const odd = (id: string) => id.startsWith("bad");

  it("asks for none of the others again, and parks those with what was said of each", async () => {
    const sink = namingSink(odd);
    const { emit, counts, errors, ledger } = makeLedger([sink]);
    emit(...range(0, 250), "bad 1", ...range(250, 400), "bad 2", ...range(400, 498));

    await vi.advanceTimersByTimeAsync(200 + 250 + 500);

    expect(sink.asked).toEqual([500, 2, 2]);
    expect(sink.ids()).toEqual(range(0, 498).map(String));
    expect(counts).toEqual({ "naming delivered": 498, "naming parked": 2 });
    expect(errors().map((line) => /"why":"([^"]*)"/.exec(line)?.[1])).toEqual(["no bad 1", "no bad 2"]);
    expect(ledger.backlog()).toBe(0);
  });

  it("does not park what is refused once and taken later", async () => {
    let patience = 2;
    const sink = namingSink((id) => odd(id) && patience-- > 0);
    const { emit, counts } = makeLedger([sink]);
    emit(1, "bad", 2);

    await vi.advanceTimersByTimeAsync(2_000);

    expect(sink.ids().toSorted()).toEqual(["1", "2", "bad"]);
    expect(counts).toEqual({ "naming delivered": 3 });
  });

  it("parks nothing while the sink takes nothing at all", async () => {
    const sink = namingSink(() => true);
    const { emit, counts, lines } = makeLedger([sink]);
    emit(...range(0, 50));

    await vi.advanceTimersByTimeAsync(600_000);

    expect(counts["naming parked"]).toBeUndefined();
    expect(sink.asked.length).toBeLessThan(100);
    expect(lines[0]).toContain("usage sink failed, will be tried again");
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
