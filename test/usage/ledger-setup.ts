import { createLedger, type LedgerOptions } from "../../src/usage/ledger.js";
import { createMemoryOutbox } from "../../src/usage/memory-outbox.js";
import { type Sink } from "../../src/usage/sink.js";
import { makeEvent } from "../contract/sink.js";

type Behaviour = "ok" | "fail" | "hang";

/** A sink that remembers the batches it took, and behaves as the test says. */
export function makeSink(name = "fake") {
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

/** A ledger over a memory outbox, and what it says and counts. */
export function makeLedger(
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

export const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
