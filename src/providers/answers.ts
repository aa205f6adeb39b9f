// Reading native answers: only what is needed of them, and never trusting that it is there.

import { lastMember, scanJsonObject } from "../lib/json.js";

/** A JSON object of an answer, any of whose members may be anything. */
export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether the bytes begin with an ASCII text. For payloads of every chunk: cheaper than any call of `Buffer`. */
export function beginsWith(data: Buffer, ascii: string): boolean {
  if (data.length < ascii.length) return false;
  for (let i = 0; i < ascii.length; i++) if (data[i] !== ascii.charCodeAt(i)) return false;
  return true;
}

/** Whether the bytes up to `end` end with an ASCII text. */
export function endsWith(data: Buffer, ascii: string, end = data.length): boolean {
  const start = end - ascii.length;
  if (start < 0) return false;
  for (let i = ascii.length - 1; i >= 0; i--) if (data[start + i] !== ascii.charCodeAt(i)) return false;
  return true;
}

/** The payload of an event when it is a JSON object. */
export function parseObject(data: Buffer): Json | undefined {
  try {
    const value: unknown = JSON.parse(data.toString("utf8"));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The top-level `usage` of a JSON body. */
export const usageOf = memberReader("usage");

/**
 * Reads one top-level member of JSON bodies that have it near their end, without parsing the rest. It returns undefined
 * for a body that has no such member, or is not JSON.
 */
export function memberReader(key: string): (body: Buffer) => unknown {
  const quotedKey = Buffer.from(JSON.stringify(key));
  return (body) => {
    try {
      const last = lastMember(body, quotedKey);
      return last === undefined ? scanJsonObject(body).get(key) : JSON.parse(last);
    } catch {
      // Deeper, or with more keys, than callers may send: an answer may be.
      return parseObject(body)?.[key];
    }
  };
}

/** A number of tokens; undefined for anything else. */
export function tokenCount(value: unknown): number | undefined {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maxTokens
    ? (value as number)
    : undefined;
}

// The typed API's counts are int32; no provider comes near.
const maxTokens = 2 ** 31 - 1;

/** Sets those members of `target` that `source` has a token count for: later reports win, one at a time. */
export function takeCounts<K extends string>(
  target: Partial<Record<K, number>>,
  source: unknown,
  keys: readonly K[],
): void {
  if (!isObject(source)) return;
  for (const key of keys) {
    const count = tokenCount(source[key]);
    if (count !== undefined) target[key] = count;
  }
}

/** A copy without the members that are undefined. */
export function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** An upstream's message as one line of bounded length: it ends up in logs and in answers. */
export function oneLine(message: unknown): string | undefined {
  if (typeof message !== "string" || message === "") return undefined;
  return message.replaceAll(/\p{Cc}+/gu, " ").slice(0, 1024);
}

/** Names of the models in a list of objects with an `id`, under `data`. Throws when it is not such a list. */
export function modelIds(body: unknown): readonly string[] {
  const data = isObject(body) ? body.data : undefined;
  if (!Array.isArray(data)) throw new Error("not a model list");
  return data.map((entry: unknown) => {
    if (!isObject(entry) || typeof entry.id !== "string") throw new Error("not a model list");
    return entry.id;
  });
}
