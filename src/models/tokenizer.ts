// Counts the tokens of texts where no provider does, in a thread of its own: loading the vocabulary and counting a long
// text take longer than others may be kept waiting.

import { createRequire } from "node:module";
import { UnavailableError } from "../errors.js";
import { createAskedThread } from "../lib/asked-thread.js";
import { estimateTokens } from "./tokens.js";

export interface Tokenizer {
  /**
   * About how many tokens a text, or several together, have for today's models. With `enough`, counting stops soon after that many: the answer is then
   * more than `enough`. Throws `UnavailableError` when too many wait for an answer.
   */
  count(text: string | readonly string[], enough?: number): Promise<number>;
  /** What waits, and what is asked afterwards, is counted by length. */
  close(): Promise<void>;
}

/** The vocabulary takes a hundred megabytes: it is given back when nobody has asked for this long. */
const defaultIdleMs = 5 * 60_000;
const maxWaiting = 64;
const busyRetryMs = 1_000;

/** The thread is started with the first count. Where it cannot be, counts are by length. */
export function createTokenizer(options: { readonly idleMs?: number; readonly maxWaiting?: number } = {}): Tokenizer {
  const most = options.maxWaiting ?? maxWaiting;
  const thread = createAskedThread<{ readonly texts: readonly string[]; readonly enough: number | undefined }, number>({
    code: threadCode,
    data: createRequire(import.meta.url).resolve("gpt-tokenizer/encoding/o200k_base"),
    idleMs: options.idleMs ?? defaultIdleMs,
  });
  let closed = false;
  return {
    async count(text, enough) {
      if (!closed && thread.waiting >= most)
        throw new UnavailableError("OVERLOADED", "too many texts wait to be counted", busyRetryMs);
      const texts = typeof text === "string" ? [text] : text;
      const counted = closed ? undefined : await thread.ask({ texts, enough });
      return counted ?? texts.reduce((sum, each) => sum + estimateTokens(each), 0);
    },
    close() {
      closed = true;
      return thread.close();
    },
  };
}

/**
 * Texts are counted in slices, since a long run without a space takes time with the square of its length; each cut is wrong
 * by a token at most.
 */
const threadCode = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { countTokens } = require(workerData);
  const plain = { disallowedSpecial: new Set() };
  const slices = /\\s*\\S{1,256}/g;

  function countText(text, enough) {
    let count = 0;
    for (let at = 0; at < text.length && count <= enough; ) {
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
    return count;
  }

  parentPort.on("message", ({ number, question: { texts, enough = Infinity } }) => {
    try {
      let count = 0;
      for (const text of texts) count += countText(text, enough - count);
      parentPort.postMessage({ number, answer: count });
    } catch {
      parentPort.postMessage({ number });
    }
  });
`;
