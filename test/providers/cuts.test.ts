// Every recorded stream, cut off after every one of its bytes, and split at every one: no cut makes an end, and no split changes
// anything.

import { describe, expect, it } from "vitest";
import type { Api, Usage } from "../../src/providers/provider.js";
import { createSseScanner } from "../../src/providers/sse.js";
import type { TypedEvent } from "../../src/providers/typed.js";
import { recordedStreams } from "./recordings.js";

interface Read {
  readonly ended: "complete" | "error" | undefined;
  readonly usage: Usage;
}

const maxEventBytes = 16 * 1024 * 1024;

/** What the meter has read when these were all the bytes there are. */
function metered(api: Api, bytes: Buffer): Read {
  const meter = api.meter();
  const scanner = createSseScanner((data) => meter.event(data), { maxEventBytes });
  scanner.push(bytes);
  scanner.end();
  return { ended: meter.ended, usage: meter.usage };
}

/** The payloads of what came in these pieces, and is whole; `last`: nothing comes after it. */
function payloads(chunks: readonly Buffer[], last: boolean): readonly string[] {
  const found: string[] = [];
  const scanner = createSseScanner((data) => found.push(data.toString("latin1")), { maxEventBytes });
  for (const chunk of chunks) scanner.push(chunk);
  if (last) scanner.end();
  return found;
}

/** The typed events of these payloads, up to one that is none. */
function decoded(api: Api, texts: readonly string[]): readonly TypedEvent[] {
  const decoder = api.typed?.decoder();
  const events: TypedEvent[] = [];
  try {
    for (const text of texts) events.push(...(decoder?.event(text) ?? []));
  } catch {
    // An error of the provider's own, which ends it.
  }
  return events;
}

/** Whether there is anything in what is left of a stream but a mark of its end. */
function saysMore(rest: string): boolean {
  return rest.replaceAll(/^data: \[DONE\]$/gm, "").trim() !== "";
}

const streams = recordedStreams().map((stream) => [stream.name, stream] as const);

/** Where the last event that is whole ends: the beginning of its empty line at the latest. */
function wholeUpTo(bytes: Buffer, cut: number): number {
  return bytes.subarray(0, cut).lastIndexOf("\n\n") + 1;
}

describe.each(streams)("%s", (_name, { api, bytes }) => {
  const cuts = Array.from({ length: bytes.length }, (_, cut) => cut);
  /** What the meter says where an event is whole; it costs something. */
  const known = new Map<number, string>();
  const usageUpTo = (end: number): string => {
    const usage = known.get(end) ?? JSON.stringify(metered(api, bytes.subarray(0, end)).usage);
    known.set(end, usage);
    return usage;
  };

  it("ends for a meter only where its end has come, and tells what it had told by then", () => {
    const { ended: end } = metered(api, bytes);
    const isRight = (cut: number): boolean => {
      const { ended, usage } = metered(api, bytes.subarray(0, cut));
      // Nothing that is still to come says anything.
      if (ended === "complete" && saysMore(bytes.toString("latin1", cut))) return false;
      if (ended !== undefined && ended !== end) return false;
      // Of the event that is cut, all or nothing is read.
      const next = bytes.indexOf("\n\n", Math.max(0, cut - 1));
      const around = [wholeUpTo(bytes, cut), next < 0 ? bytes.length : next + 2];
      const read = JSON.stringify(usage);
      return around.some((at) => usageUpTo(at) === read);
    };
    expect(cuts.filter((cut) => !isRight(cut))).toEqual([]);
  });

  it("has the same payloads wherever it is split, and byte by byte", () => {
    const told = payloads([bytes], true).join("\n");
    const split = (cut: number) => payloads([bytes.subarray(0, cut), bytes.subarray(cut)], true).join("\n");
    expect(cuts.filter((cut) => split(cut) !== told)).toEqual([]);
    const single = cuts.map((at) => bytes.subarray(at, at + 1));
    expect(payloads(single, true).join("\n")).toBe(told);
  });

  if (!api.typed) return;

  it("never has a typed end before its meter has one", () => {
    let seen = -1;
    for (const cut of cuts) {
      const part = bytes.subarray(0, cut);
      const texts = payloads([part], false);
      if (texts.length === seen) continue;
      seen = texts.length;
      const finished = decoded(api, texts).some((event) => event.case === "finished");
      if (finished) expect(metered(api, part).ended, `cut after ${cut} bytes`).toBe("complete");
    }
  });
});
