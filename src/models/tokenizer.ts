// Counts the tokens of texts where no provider does, in a thread of its own: loading the vocabulary and counting a long
// text take longer than others may be kept waiting.

import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { UnavailableError } from "../errors.js";
import { estimateTokens } from "./tokens.js";

export interface Tokenizer {
  /** About how many tokens a text has for today's models. Throws `UnavailableError` when too many wait for an answer. */
  count(text: string): Promise<number>;
  close(): Promise<void>;
}

/** The vocabulary takes a hundred megabytes: it is given back when nobody has asked for this long. */
const idleMs = 5 * 60_000;
const maxWaiting = 64;
const busyRetryMs = 1_000;

/** The thread is started with the first count. Where it cannot be, counts are by length. */
export function createTokenizer(options: { readonly idleMs?: number; readonly maxWaiting?: number } = {}): Tokenizer {
  const most = options.maxWaiting ?? maxWaiting;
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let numbers = 0;
  const waiting = new Map<number, { readonly text: string; resolve(count: number): void }>();

  const settle = (number: number, count: number | undefined): void => {
    const asked = waiting.get(number);
    waiting.delete(number);
    asked?.resolve(count ?? estimateTokens(asked.text));
  };

  const lost = (gone: Worker): void => {
    if (worker !== gone) return;
    worker = undefined;
    for (const number of waiting.keys()) settle(number, undefined);
  };

  const start = (): Worker => {
    const started = new Worker(threadCode, {
      eval: true,
      workerData: createRequire(import.meta.url).resolve("gpt-tokenizer/encoding/o200k_base"),
    });
    started.on("message", ({ number, count }: { number: number; count?: number }) => settle(number, count));
    started.on("error", () => lost(started));
    started.on("exit", () => lost(started));
    started.unref();
    return started;
  };

  const end = async (): Promise<void> => {
    clearTimeout(idle);
    const ending = worker;
    worker = undefined;
    await ending?.terminate();
  };

  const rest = (): void => {
    clearTimeout(idle);
    idle = setTimeout(() => {
      if (waiting.size > 0) rest();
      else void end();
    }, options.idleMs ?? idleMs);
    idle.unref();
  };

  return {
    count(text) {
      if (waiting.size >= most)
        return Promise.reject(new UnavailableError("OVERLOADED", "too many texts wait to be counted", busyRetryMs));
      return new Promise((resolve) => {
        const number = numbers++;
        waiting.set(number, { text, resolve });
        rest();
        worker ??= start();
        worker.postMessage({ number, text });
      });
    },
    async close() {
      await end();
      for (const number of waiting.keys()) settle(number, undefined);
    },
  };
}

/**
 * What the thread runs: a text and not a file, so that it runs from sources and from what is built alike. Texts are
 * counted in slices, since a long run without a space takes time with the square of its length; each cut is wrong by a
 * token at most.
 */
const threadCode = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { countTokens } = require(workerData);
  const plain = { disallowedSpecial: new Set() };
  const slices = /\\s*\\S{1,256}/g;

  parentPort.on("message", ({ number, text }) => {
    try {
      let count = 0;
      for (let at = 0; at < text.length; ) {
        let end = Math.min(text.length, at + 4096);
        if (end < text.length) {
          const space = text.lastIndexOf(" ", end);
          if (space > at) end = space;
        }
        const part = text.slice(at, end);
        count += /\\S{257}/.test(part)
          ? part.match(slices).reduce((sum, slice) => sum + countTokens(slice, plain), 0)
          : countTokens(part, plain);
        at = end;
      }
      parentPort.postMessage({ number, count });
    } catch {
      parentPort.postMessage({ number });
    }
  });
`;
