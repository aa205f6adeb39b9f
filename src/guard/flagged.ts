// Flagged prompts, kept for a while so that somebody can look at them: encrypted, bounded, and off the path of requests.

import { NotFoundError, UnavailableError } from "../errors.js";
import type { Clock } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import { createSeal, type NamedKey, SealError } from "./seal.js";
import type { FlagReason } from "./verdict.js";

/** What is known of a flagged request without reading its prompt. */
export interface FlaggedRequest {
  /** `prompt:<trace>:<feature>:<actor>`. */
  readonly key: string;
  readonly traceId: string;
  readonly feature: string;
  readonly actor: { readonly source: string; readonly id: string };
  /** Gateway model name. */
  readonly model: string;
  readonly reasons: readonly FlagReason[];
  readonly blocked: boolean;
  /** Of the whole prompt. */
  readonly promptBytes: number;
  /** When it was flagged, and until when it is kept; ms since the epoch. */
  readonly at: number;
  readonly expiresAt: number;
}

/** Where they are kept; `test/contract/flagged-store.ts` is what each must do. Throws what it likes when it cannot be asked. */
export interface FlaggedStore {
  /** Keeps it until `expiresAt`, in place of one with the same key. Of more than `most`, those flagged first go. */
  put(request: FlaggedRequest, sealed: string, most: number): Promise<void>;
  get(key: string): Promise<{ readonly request: FlaggedRequest; readonly sealed: string } | undefined>;
  /** Newest first. */
  list(): Promise<readonly FlaggedRequest[]>;
  close(): Promise<void>;
}

export interface FlaggedPrompts {
  /** Keeps a prompt; returns its key at once. Never throws: what cannot be kept is said in the log. */
  keep(request: Omit<FlaggedRequest, "key" | "promptBytes" | "at" | "expiresAt">, prompt: string): string;
  /**
   * The prompt, or its beginning and end where it is long. Throws `NotFoundError` where it is not kept, or not readable any
   * more, and `UnavailableError`.
   */
  read(key: string): Promise<{ readonly request: FlaggedRequest; readonly prompt: string }>;
  /** Newest first. Throws `UnavailableError`. */
  list(): Promise<readonly FlaggedRequest[]>;
  close(): Promise<void>;
}

export interface FlaggedOptions {
  readonly keys: readonly [NamedKey, ...NamedKey[]];
  readonly ttlMs: number;
  readonly most: number;
}

/** Of the beginning and of the end of a prompt so much is kept. */
const endBytes = 16 * 1024;
/** Prompts that may be on their way to the store. */
const maxWaiting = 100;
const retryAfterMs = 1_000;

export const keyPrefix = "prompt:";

export function createFlaggedPrompts(
  parts: { readonly store: FlaggedStore; readonly clock: Clock; readonly log: Pick<Log, "warn"> },
  { keys, ttlMs, most }: FlaggedOptions,
): FlaggedPrompts {
  const { store, clock, log } = parts;
  const seal = createSeal(keys);
  const waiting = new Set<Promise<void>>();

  async function put(request: FlaggedRequest, prompt: string): Promise<void> {
    // After the request has had its turn.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      await store.put(request, seal.close(cut(prompt), request.key), most);
    } catch (error) {
      log.warn({ key: request.key, err: error }, "flagged prompt could not be kept");
    }
  }

  async function asked<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (cause) {
      const message = "the store of flagged prompts cannot be asked";
      throw new UnavailableError("ACTOR_STORE_UNAVAILABLE", message, retryAfterMs, { cause });
    }
  }

  return {
    keep(about, prompt) {
      const at = clock.now();
      const key = `${keyPrefix}${about.traceId}:${about.feature}:${about.actor.id}`;
      const request = { ...about, key, promptBytes: Buffer.byteLength(prompt), at, expiresAt: at + ttlMs };
      if (waiting.size >= maxWaiting)
        log.warn({ key }, "flagged prompt could not be kept: too many wait for the store");
      else {
        const writing = put(request, prompt).finally(() => waiting.delete(writing));
        waiting.add(writing);
      }
      return key;
    },
    async read(key) {
      const found = await asked(store.get(key));
      if (!found) throw new NotFoundError("no such flagged prompt", "flagged_request");
      try {
        return { request: found.request, prompt: seal.open(found.sealed, key) };
      } catch (error) {
        if (!(error instanceof SealError)) throw error;
        log.warn({ key, err: error }, "flagged prompt cannot be read");
        throw new NotFoundError(`the flagged prompt cannot be read: ${error.message}`, "flagged_request");
      }
    },
    list: () => asked(store.list()),
    async close() {
      await Promise.all(waiting);
      await store.close();
    },
  };
}

/** The beginning and the end of a long text, by whole characters. */
function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= 2 * endBytes) return text;
  let [head, tail] = [endBytes, bytes.length - endBytes];
  while (isInside(bytes[head])) head--;
  while (isInside(bytes[tail])) tail++;
  const between = `\n[… ${tail - head} bytes are left out …]\n`;
  return bytes.subarray(0, head).toString("utf8") + between + bytes.subarray(tail).toString("utf8");
}

/** Whether a byte is not the first one of its character. */
function isInside(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
