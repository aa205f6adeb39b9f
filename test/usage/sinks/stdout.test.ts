import { describe, expect, it, vi } from "vitest";
import { createStdoutSink, writeAll } from "../../../src/usage/sinks/stdout.js";
import { describeSink, eventsIn, makeEvent } from "../../contract/sink.js";

/** A reader that can go away: what was under way is then cut short. */
function makeReader() {
  let text = "";
  let broken = false;
  return {
    write: async (part: string) => {
      text += broken ? part.slice(0, 50) : part;
      if (broken) throw Object.assign(new Error("EPIPE"), { code: "EPIPE" });
    },
    text: () => text,
    breakOff: async () => {
      broken = true;
    },
    mend: async () => {
      broken = false;
    },
  };
}

describeSink("stdout", async () => {
  const reader = makeReader();
  return { ...reader, sink: createStdoutSink(reader.write), received: async () => eventsIn(reader.text()) };
});

it("puts one event on each line, and nothing else", async () => {
  const reader = makeReader();

  await createStdoutSink(reader.write).send([makeEvent({ id: "a\nb" }), makeEvent({ id: "c" })]);

  expect(reader.text()).toMatch(/^\{[^\n]*\}\n\{[^\n]*\}\n$/);
});

it("begins a new line after one that was cut short", async () => {
  const reader = makeReader();
  const sink = createStdoutSink(reader.write);
  await reader.breakOff();
  await expect(sink.send([makeEvent({ id: "1" })])).rejects.toThrow("EPIPE");
  await reader.mend();

  await sink.send([makeEvent({ id: "2" })]);

  expect(eventsIn(reader.text()).map(({ id }) => id)).toEqual(["2"]);
});

describe("writeAll", () => {
  const full = Object.assign(new Error("full"), { code: "EAGAIN" });

  it("writes on where the last write ended", async () => {
    let written = "";
    const once = async (_: number, data: NodeJS.ArrayBufferView, at?: number | null) => {
      const part = Buffer.from(data.buffer, data.byteOffset, data.byteLength).subarray(at ?? 0, (at ?? 0) + 7);
      written += part.toString();
      return { bytesWritten: part.length, buffer: data };
    };

    await writeAll(1, "a text that is longer than seven bytes", once as Parameters<typeof writeAll>[2]);

    expect(written).toBe("a text that is longer than seven bytes");
  });

  it("waits for a reader that has no room", async () => {
    const once = vi.fn().mockRejectedValueOnce(full).mockResolvedValueOnce({ bytesWritten: 4 });

    await writeAll(1, "text", once as Parameters<typeof writeAll>[2]);

    expect(once).toHaveBeenCalledTimes(2);
  });

  it("rejects when the reader is gone", async () => {
    const once = vi.fn().mockRejectedValueOnce(Object.assign(new Error("gone"), { code: "EPIPE" }));

    await expect(writeAll(1, "text", once as Parameters<typeof writeAll>[2])).rejects.toThrow("gone");
  });
});
