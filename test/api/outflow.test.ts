import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type StreamCompleteResponse, StreamCompleteResponseSchema } from "../../gen/codygateway/v1/completions_pb.js";
import { createOutflow } from "../../src/api/outflow.js";
import type { Outlet } from "../../src/api/outlet.js";

const message = (text: string): StreamCompleteResponse =>
  create(StreamCompleteResponseSchema, { event: { case: "textDelta", value: { text } } });

const textOf = ({ event }: StreamCompleteResponse): string => (event.case === "textDelta" ? event.value.text : "");

const room = { max: 10, sizeOf: (each: StreamCompleteResponse) => textOf(each).length };

/** One that takes short words, once it is open. */
function outlet(): Outlet & { open: boolean; full: boolean; readonly written: string[]; drain(): void } {
  const written: string[] = [];
  const callbacks: (() => void)[] = [];
  return {
    open: true,
    full: false,
    written,
    write(messages) {
      const until = messages.findIndex((each) => textOf(each as StreamCompleteResponse).length > 5);
      const taken = this.open ? messages.slice(0, until < 0 ? messages.length : until) : [];
      written.push(...taken.map((each) => textOf(each as StreamCompleteResponse)));
      return taken.length;
    },
    isFull() {
      return this.full;
    },
    onDrain: (callback) => void callbacks.push(callback),
    drain() {
      this.full = false;
      for (const callback of callbacks.splice(0)) callback();
    },
  };
}

describe("the messages of an answer", () => {
  it("all go to who reads them where there is no outlet", async () => {
    const answer = createOutflow(undefined, room);
    answer.push(["a", "b"].map(message));
    answer.end();
    const read: string[] = [];
    for await (const each of answer) read.push(textOf(each));
    expect(read).toEqual(["a", "b"]);
  });

  it("pass the reader by while it waits, and never overtake the one it has", async () => {
    const out = outlet();
    out.open = false;
    const answer = createOutflow(out, room);
    const reader = answer[Symbol.asyncIterator]();
    const first = reader.next();
    answer.push(["a", "b"].map(message));
    expect(textOf((await first).value as StreamCompleteResponse)).toBe("a");
    out.open = true;
    // The reader has not come back: it may be writing still.
    answer.push([message("c")]);
    expect(out.written).toEqual([]);

    const large = reader.next();
    expect(out.written).toEqual(["b", "c"]);
    answer.push(["d", "a long one", "e"].map(message));
    expect(out.written).toEqual(["b", "c", "d"]);
    expect(textOf((await large).value as StreamCompleteResponse)).toBe("a long one");
    const end = reader.next();
    expect(out.written).toEqual(["b", "c", "d", "e"]);
    answer.end();
    expect(await end).toEqual({ done: true, value: undefined });
  });

  it("have room by what waits for the reader, and by whether the outlet is full", async () => {
    const out = outlet();
    const answer = createOutflow(out, room);
    answer.push([message("sixteen letters!")]);
    expect(answer.hasRoom()).toBe(false);
    let told = 0;
    answer.onRoom(() => told++);
    expect(told).toBe(0);
    const reader = answer[Symbol.asyncIterator]();
    await reader.next();
    expect([told, answer.hasRoom()]).toEqual([1, true]);

    void reader.next();
    out.full = true;
    answer.push([message("a")]);
    expect(answer.hasRoom()).toBe(false);
    answer.onRoom(() => told++);
    answer.push([message("b")]);
    expect([told, out.written]).toEqual([1, ["a", "b"]]);
    out.drain();
    expect([told, answer.hasRoom()]).toEqual([2, true]);
    answer.end();
  });

  it("come before the error that it ends with, which is told once", async () => {
    const answer = createOutflow(undefined, room);
    answer.push([message("a")]);
    answer.fail(new Error("broken"));
    answer.end();
    const reader = answer[Symbol.asyncIterator]();
    expect((await reader.next()).done).toBe(false);
    await expect(reader.next()).rejects.toThrow("broken");
    expect((await reader.next()).done).toBe(true);
  });

  it.each(["return", "throw"] as const)("are dropped once the reader has left with %s", async (how) => {
    const out = outlet();
    const answer = createOutflow(out, room);
    const reader = answer[Symbol.asyncIterator]();
    const waiting = reader.next();
    await reader[how]?.(new Error("gone")).catch(() => undefined);
    expect((await waiting).done).toBe(true);
    answer.push([message("a")]);
    expect([out.written, answer.hasRoom()]).toEqual([[], true]);
    expect((await reader.next()).done).toBe(true);
  });
});
