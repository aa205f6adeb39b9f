// An answer that is written by hand, piece by piece.

import type { Frames } from "./dialects/dialect.js";
import type { Output } from "./output.js";

/** Writes an answer. With whatever it writes the call leaves the gate, and nothing of it is answered by itself. */
export interface Hand {
  /** Writes bytes as they are; begins a streamed answer first, if none has begun. Leaves the gate: nothing is answered by itself. */
  send(bytes: string | Buffer): Promise<void>;
  /** Writes the events up to the first delta. */
  begin(): Promise<void>;
  /** Writes one delta in the vendor's form, after `begin` where that is still missing. */
  say(text: string): Promise<void>;
  /** Writes the rest of a proper answer: usage, end mark, end. */
  finish(): Promise<void>;
  /** Writes the vendor's error event and ends. */
  fail(message: string): Promise<void>;
  /** Ends at HTTP level, whatever was sent. */
  end(): void;
  /** Resets the connection. */
  reset(): Promise<void>;
  /** What was said so far. */
  readonly said: readonly string[];
}

export interface HandParts {
  /** Takes the call in hand, and says where its answer is written. */
  readonly take: () => Output;
  /** How the vendor writes its stream; undefined: there is none. */
  readonly frames: () => Frames | undefined;
  /** A delta is about to be written. */
  readonly onSaid: () => void;
}

const eventStream = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" };

/** Writes nothing until it is told to. */
export function createHand({ take, frames, onSaid }: HandParts): Hand {
  const said: string[] = [];
  let begun = false;

  function opened(): Output {
    const output = take();
    output.head(200, eventStream);
    return output;
  }

  function framesOf(): Frames {
    const known = frames();
    if (!known) throw new Error("this call has no stream to write: send() bytes instead");
    return known;
  }

  async function begin(): Promise<Output> {
    const output = opened();
    if (!begun) await output.write(framesOf().begin());
    begun = true;
    return output;
  }

  return {
    said,
    async send(bytes) {
      await opened().write(bytes);
    },
    async begin() {
      await begin();
    },
    async say(text) {
      const output = await begin();
      onSaid();
      said.push(text);
      await output.write(framesOf().piece({ kind: "text", text }));
    },
    async finish() {
      const output = await begin();
      output.end(framesOf().finish());
    },
    async fail(message) {
      const output = await begin();
      output.end(framesOf().error(message));
    },
    end() {
      opened().end();
    },
    async reset() {
      await take().reset();
    },
  };
}
