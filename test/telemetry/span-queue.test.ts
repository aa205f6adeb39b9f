import { describe, expect, it } from "vitest";
import { ExportFailedError, type SendSpans } from "../../src/telemetry/span-exports.js";
import { createSpanQueue, type SpanQueueOptions } from "../../src/telemetry/span-queue.js";
import { recordingLog } from "../helpers/log.js";

const span = (text: string): Uint8Array => Buffer.from(text);

interface Sent {
  readonly spans: readonly string[];
  settle(result: number | Error): void;
}

/** A queue whose exports are settled by hand. */
function queueWith(options: Partial<SpanQueueOptions> = {}) {
  const log = recordingLog();
  const counts = { exported: 0, dropped: 0 };
  const sent: Sent[] = [];
  const waiting: (() => void)[] = [];
  const send: SendSpans = (spans, signal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new ExportFailedError("aborted", 0)), { once: true });
      const settle = (result: number | Error): void => (result instanceof Error ? reject(result) : resolve(result));
      sent.push({ spans: spans.map((each) => Buffer.from(each).toString()), settle });
      for (const look of waiting.splice(0)) look();
    });
  const queue = createSpanQueue(
    { send, log, count: (result, spans) => void (counts[result] += spans), random: () => 0 },
    { delayMs: 1, exportMs: 60_000, maxWaiting: 10, batchSize: 3, ...options },
  );
  return {
    queue,
    counts,
    sent,
    said: () => log.lines.map(({ message }) => message),
    /** The export of that number, from 0, once it is made. */
    async nth(number: number): Promise<Sent> {
      for (;;) {
        const found = sent[number];
        if (found) return found;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

const passing = new ExportFailedError("the receiver of traces answered 503", 0);
const final = new ExportFailedError("the receiver of traces answered 400", undefined);

describe("spans on their way out", () => {
  it("are sent together, in their order, one export after the other", async () => {
    const { queue, nth, sent, counts } = queueWith();
    for (const text of ["a", "b", "c", "d", "e", "f", "g"]) queue.add(span(text));
    expect((await nth(0)).spans).toEqual(["a", "b", "c"]);
    expect(sent).toHaveLength(1);
    sent[0]?.settle(0);
    expect((await nth(1)).spans).toEqual(["d", "e", "f"]);
    sent[1]?.settle(0);
    expect((await nth(2)).spans).toEqual(["g"]);
    sent[2]?.settle(0);
    await queue.close(1_000);
    expect(counts).toEqual({ exported: 7, dropped: 0 });
  });

  it("are dropped, and counted, while too many wait", async () => {
    const { queue, nth, counts } = queueWith({ maxWaiting: 4 });
    for (let i = 0; i < 20; i++) queue.add(span(String(i)));
    // Three are under way.
    expect(counts.dropped).toBe(13);
    (await nth(0)).settle(0);
    (await nth(1)).settle(0);
    (await nth(2)).settle(0);
    await queue.close(1_000);
    expect(counts).toEqual({ exported: 7, dropped: 13 });
  });

  it("are sent again when that may help; an outage is said once, and so is its end", async () => {
    const { queue, nth, counts, said } = queueWith();
    queue.add(span("a"));
    (await nth(0)).settle(passing);
    (await nth(1)).settle(passing);
    expect((await nth(2)).spans).toEqual(["a"]);
    (await nth(2)).settle(0);
    // A single failure that another try makes good is none.
    queue.add(span("b"));
    (await nth(3)).settle(passing);
    (await nth(4)).settle(0);
    queue.add(span("c"));
    (await nth(5)).settle(final);
    queue.add(span("d"));
    (await nth(6)).settle(final);
    await queue.close(1_000);
    expect(said()).toEqual(["traces cannot be exported", "traces are exported again", "traces cannot be exported"]);
    expect(counts).toEqual({ exported: 2, dropped: 2 });
  });

  it("are dropped when sending takes longer than it may", async () => {
    const { queue, nth, counts } = queueWith({ exportMs: 20 });
    queue.add(span("a"));
    queue.add(span("b"));
    queue.add(span("c"));
    await nth(0);
    queue.add(span("d"));
    (await nth(1)).settle(0);
    await queue.close(1_000);
    expect(counts).toEqual({ exported: 1, dropped: 3 });
  });

  it("count as dropped where the receiver did not take them", async () => {
    const { queue, nth, counts } = queueWith();
    for (const text of ["a", "b", "c"]) queue.add(span(text));
    (await nth(0)).settle(2);
    await queue.close(1_000);
    expect(counts).toEqual({ exported: 1, dropped: 2 });
  });

  it("do not keep the end waiting: what is not out in time is dropped, and nothing more is taken", async () => {
    const { queue, counts } = queueWith();
    for (const text of ["a", "b", "c", "d"]) queue.add(span(text));
    await queue.close(10);
    queue.add(span("e"));
    expect(counts).toEqual({ exported: 0, dropped: 5 });
  });

  it("are not sent again at the end: nobody waits for another try, nor for one that failed meanwhile", async () => {
    const { queue, nth, sent, counts } = queueWith();
    queue.add(span("a"));
    (await nth(0)).settle(new ExportFailedError("the receiver of traces answered 503", 30_000));
    // By now it waits for its second try.
    await new Promise((resolve) => setImmediate(resolve));
    queue.add(span("b"));
    const closed = queue.close(60_000);
    (await nth(1)).settle(passing);
    (await nth(2)).settle(passing);
    await closed;
    expect(sent.map(({ spans }) => spans)).toEqual([["a"], ["a"], ["b"]]);
    expect(counts).toEqual({ exported: 0, dropped: 2 });
  });
});
