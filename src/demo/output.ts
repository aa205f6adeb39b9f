// An HTTP answer as the demo upstream writes it: in odd pieces and with odd ends, when asked.

import type { ServerResponse } from "node:http";
import type { Behaviour } from "./behaviour.js";

/** How bytes are written and answers end. */
export interface Output {
  /** The caller has left, or the connection was reset. */
  readonly closed: boolean;
  /** The head was written. */
  readonly begun: boolean;
  head(status: number, headers: Readonly<Record<string, string | readonly string[]>>): void;
  /** Undefined: go on; a promise: wait for it. Writes after the end are dropped. */
  write(bytes: string | Buffer): Promise<void> | undefined;
  /** Ends the answer as HTTP wants it. */
  end(bytes?: string | Buffer): void;
  /** Resets the connection once everything written has left this process. */
  reset(): Promise<void>;
  /** Resolves after this time, or at once when the answer is closed. */
  wait(ms: number): Promise<void>;
  /** Resolves when the answer is closed. */
  readonly over: Promise<void>;
}

/** The output of one answer. `onReset` is called before the connection is reset on purpose. */
export function createOutput(res: ServerResponse, behaviour: Behaviour, onReset: () => void): Output {
  const { rawChunkBytes, crlf } = behaviour;
  let closed = false;
  let begun = false;
  // Whoever waits for something that a closed answer no longer brings.
  let wake: (() => void) | undefined;
  let close: () => void;
  const over = new Promise<void>((resolve) => {
    close = resolve;
  });
  res.once("close", () => {
    closed = true;
    wake?.();
    close();
  });

  const unlessClosed = (start: (resolve: () => void) => void): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
      start(resolve);
    });
  const flushed = (bytes: Buffer | string): Promise<void> =>
    unlessClosed((resolve) => void res.write(bytes, () => setImmediate(resolve)));
  const bytewise = async (bytes: Buffer, size: number): Promise<void> => {
    for (let at = 0; at < bytes.length; at += size) {
      if (closed) return;
      await flushed(bytes.subarray(at, at + size));
    }
  };

  return {
    get closed() {
      return closed;
    },
    get begun() {
      return begun;
    },
    over,
    head(status, headers) {
      if (closed || begun) return;
      begun = true;
      res.writeHead(status, headers as Record<string, string | string[]>);
    },
    write(bytes) {
      if (closed || res.writableEnded) return undefined;
      const sent = crlf && typeof bytes === "string" ? bytes.replaceAll("\n", "\r\n") : bytes;
      if (sent.length === 0) {
        res.flushHeaders();
        return undefined;
      }
      if (rawChunkBytes !== undefined) return bytewise(Buffer.from(sent), rawChunkBytes);
      if (res.write(sent)) return undefined;
      return unlessClosed((resolve) => void res.once("drain", resolve));
    },
    end(bytes) {
      if (!closed && !res.writableEnded) res.end(bytes);
    },
    async reset() {
      if (closed) return;
      onReset();
      if (begun) await flushed(Buffer.alloc(0));
      res.socket?.resetAndDestroy();
    },
    async wait(ms) {
      if (closed || ms <= 0) return;
      let timer: NodeJS.Timeout | undefined;
      await unlessClosed((resolve) => {
        timer = setTimeout(resolve, ms);
      });
      clearTimeout(timer);
    },
  };
}
