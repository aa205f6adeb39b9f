// What a model says, kept as its answer passes: where the provider does not tell its tokens, they are counted from it.

import { COLON, OPEN_BRACE, QUOTE } from "../lib/json-bytes.js";
import { JsonCursor } from "../lib/json-cursor.js";

/** The members of an API's answers that hold what the model says, by name, wherever they stand. */
export interface OutputMembers {
  /** In the events of a stream: their strings. */
  readonly streamed: readonly string[];
  /** In an answer that is no stream: their strings. */
  readonly whole: readonly string[];
  /** In both: their objects, which count as the JSON that they are. */
  readonly objects?: readonly string[];
}

/** Reads what one answer says. Never throws: what it cannot read says nothing. */
export interface Output {
  /** One event of a stream: `data` is its payload's bytes. */
  event(data: Buffer): void;
  /** The body of an answer that is no stream. */
  whole(body: Buffer): void;
  said(): Said;
}

/** What was said so far. */
export interface Said {
  /** Its beginning. */
  readonly text: string;
  /** How many times as much all of it is: at least 1. */
  readonly times: number;
}

/** As much is kept, as JSON has it; of what follows, only its length: its beginning tells well enough how many tokens it has. */
const keptBytes = 8 * 1024;
const firstBytes = 512;
/** Up to so many bytes are copied one by one, which is cheaper than calling out. */
const shortBytes = 32;
const BACKSLASH = 0x5c;

interface Name {
  readonly bytes: Buffer;
  readonly object: boolean;
}

/** By their lengths. */
type Names = readonly (readonly Name[] | undefined)[];

/** Makes readers of an API's answers, one for each. */
export function outputOf({ streamed, whole, objects = [] }: OutputMembers): () => Output {
  const inEvents = namesOf(streamed, objects);
  const inBodies = namesOf(whole, objects);
  return () => createOutput(inEvents, inBodies);
}

function namesOf(strings: readonly string[], objects: readonly string[]): Names {
  const names: Name[][] = [];
  for (const name of strings) (names[name.length] ??= []).push({ bytes: Buffer.from(name), object: false });
  for (const name of objects) (names[name.length] ??= []).push({ bytes: Buffer.from(name), object: true });
  return names;
}

function createOutput(inEvents: Names, inBodies: Names): Output {
  let kept: Buffer = noBytes;
  let keptLength = 0;
  let allLength = 0;
  // Where the last event had the first of its output: the next one has it there, too, nearly always.
  let first = 0;
  // What this event has said last.
  let lastStart = 0;
  let lastEnd = 0;

  function keep(data: Buffer, start: number, end: number): void {
    // After a gap, nothing can be kept any more.
    const follows = allLength === keptLength;
    allLength += end - start;
    if (!follows) return;
    const until = end - start <= keptBytes - keptLength ? end : cutBefore(data, start, start + keptBytes - keptLength);
    const length = until - start;
    if (keptLength + length > kept.length) kept = grown(kept, keptLength, length);
    if (length > shortBytes) data.copy(kept, keptLength, start, until);
    else for (let i = 0; i < length; i++) kept[keptLength + i] = data[start + i] as number;
    keptLength += length;
  }

  /** Takes the value at `at` if it is one that was looked for; where to go on. */
  function value(data: Buffer, at: number, object: boolean): number {
    const c = data[at];
    if (c === QUOTE && !object) {
      const start = at + 1;
      const end = stringEnd(data, start);
      // Some servers say the same by two names, for clients of either.
      if (!isSame(data, start, end, lastStart, lastEnd)) keep(data, start, end);
      lastStart = start;
      lastEnd = end;
      return end + 1;
    }
    if (c !== OPEN_BRACE || !object) return at;
    const end = objectEnd(data, at);
    const text = escaped(data.toString("utf8", at, end));
    // An empty one stands where the members are still to come.
    if (text.length > 2) keep(text, 0, text.length);
    return end;
  }

  function walk(data: Buffer, names: Names, from: number): number {
    let found = -1;
    lastStart = lastEnd = 0;
    let at = from;
    while (at < data.length) {
      if (data[at] !== QUOTE) {
        at++;
        continue;
      }
      const start = at;
      const end = stringEnd(data, start + 1);
      at = end + 1;
      const name = nameAt(data, start + 1, end, names);
      if (name === undefined) continue;
      const next = behindColon(data, at);
      if (next < 0) continue;
      if (found < 0) found = start;
      at = value(data, next, name.object);
    }
    return found;
  }

  return {
    event(data) {
      const from = isNameAt(data, first, inEvents) ? first : 0;
      const found = walk(data, inEvents, from);
      if (found >= 0) first = found;
    },
    whole: (body) => void walk(body, inBodies, 0),
    said: () => ({
      text: unescaped(kept.toString("utf8", 0, keptLength)),
      times: keptLength === 0 ? 1 : allLength / keptLength,
    }),
  };
}

const noBytes = Buffer.alloc(0);

function grown(bytes: Buffer, length: number, more: number): Buffer {
  // Not from the pool, whose slabs would live as long as their longest stream.
  const room = Buffer.allocUnsafeSlow(Math.min(keptBytes, Math.max(firstBytes, (length + more) * 2)));
  bytes.copy(room, 0, 0, length);
  return room;
}

/** The last place up to `end` where the inside of a string can be cut: neither in a character nor in an escape. */
function cutBefore(data: Buffer, start: number, end: number): number {
  let at = start;
  for (;;) {
    const c = data[at] as number;
    const length = c === BACKSLASH ? (data[at + 1] === 0x75 ? 6 : 2) : c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (at + length > end) return at;
    at += length;
  }
}

/** Where the string ends whose first character stands at `at`: at its quote, or behind the data. */
function stringEnd(data: Buffer, at: number): number {
  const { length } = data;
  let end = at;
  while (end < length) {
    const c = data[end];
    if (c === QUOTE) return end;
    end += c === BACKSLASH ? 2 : 1;
  }
  return length;
}

/** Behind the object that begins at `at`; the data's end where it does not end. */
function objectEnd(data: Buffer, at: number): number {
  try {
    const cursor = new JsonCursor(data, at);
    cursor.value();
    return cursor.at;
  } catch {
    return data.length;
  }
}

function isSame(data: Buffer, start: number, end: number, otherStart: number, otherEnd: number): boolean {
  return (
    otherEnd > 0 && end - start === otherEnd - otherStart && data.compare(data, otherStart, otherEnd, start, end) === 0
  );
}

/** Which of the names stands there. */
function nameAt(data: Buffer, start: number, end: number, names: Names): Name | undefined {
  const alike = names[end - start];
  if (alike === undefined) return undefined;
  for (const name of alike) {
    const { bytes } = name;
    let i = 0;
    while (i < bytes.length && bytes[i] === data[start + i]) i++;
    if (i === bytes.length) return name;
  }
  return undefined;
}

/** Whether one of the names stands there in quotes, with a colon: then it does not inside a string, where quotes are escaped. */
function isNameAt(data: Buffer, quote: number, names: Names): boolean {
  if (data[quote] !== QUOTE) return false;
  const end = stringEnd(data, quote + 1);
  return nameAt(data, quote + 1, end, names) !== undefined && behindColon(data, end + 1) >= 0;
}

/** Where the value begins behind a name; -1 where it is none. */
function behindColon(data: Buffer, at: number): number {
  const colon = behindSpace(data, at);
  return data[colon] === COLON ? behindSpace(data, colon + 1) : -1;
}

function behindSpace(data: Buffer, at: number): number {
  let next = at;
  while (isSpace(data[next])) next++;
  return next;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** A text as it stands inside a JSON string. */
function escaped(text: string): Buffer {
  return Buffer.from(JSON.stringify(text).slice(1, -1));
}

function unescaped(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text;
  }
}
