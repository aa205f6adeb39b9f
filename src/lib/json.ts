// A JSON object as bytes: looked at once, changed by splicing, never parsed and written again as a whole.

import { isUtf8 } from "node:buffer";
import { CLOSE_BRACE, CLOSE_BRACKET, COLON, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "./json-bytes.js";
import { JsonCursor, JsonSyntaxError, maxJsonDepth, maxJsonKeys, plainKey } from "./json-cursor.js";

export { JsonSyntaxError, maxJsonDepth, maxJsonKeys };

/** Most elements that `items` takes apart. */
export const maxJsonItems = 100_000;

/** A value's place in the bytes: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What a JSON value is. */
export type JsonKind = "object" | "array" | "string" | "number" | "boolean" | "null";

/** A JSON object whose members are found but not parsed. */
export interface JsonObject {
  readonly bytes: Buffer;
  has(key: string): boolean;
  /** What the member's value is, at no cost; undefined when there is no such member. */
  kind(key: string): JsonKind | undefined;
  /** The member's value, parsed; undefined when there is no such member. Throws `JsonSyntaxError` when a text in it is no JSON. */
  get(key: string): unknown;
  /** The member's value as JSON text; undefined when there is no such member. */
  raw(key: string): string | undefined;
  /** The elements of a member that is an array, as JSON texts; undefined when it is none. Throws `JsonSyntaxError` when they are too many. */
  items(key: string): readonly string[] | undefined;
  /**
   * The bytes with these members set to a JSON text, or removed where it is undefined. Members it lacks are appended.
   * Everything else stays as it is, to the byte. No changes: the same bytes.
   */
  with(changes: ReadonlyMap<string, string | undefined>): Buffer;
}

interface Member extends Span {
  /** Where the member's key begins. */
  readonly keyStart: number;
}

/**
 * Finds the members of the JSON object in `bytes`. Structure is checked to the last bracket, so that no other parser can
 * see other members; what is inside nested strings is the upstream's to judge. Duplicate top-level keys are refused,
 * however they are escaped and whatever their case: parsers disagree on which of them counts, and some ignore case.
 * Throws `JsonSyntaxError`.
 */
export function scanJsonObject(bytes: Buffer): JsonObject {
  // Parsers differ in what they make of other bytes, and splicing goes through text.
  if (!isUtf8(bytes)) throw new JsonSyntaxError("not UTF-8");
  const members = new Map<string, Member>();
  let plain = true;
  const cursor = new JsonCursor(bytes);
  cursor.expect(OPEN_BRACE, "a JSON object");
  if (!cursor.take(CLOSE_BRACE)) {
    do {
      cursor.space();
      const keyStart = cursor.at;
      const key = cursor.key();
      cursor.expect(COLON, "':'");
      cursor.space();
      const start = cursor.at;
      cursor.value();
      if (members.has(key)) throw duplicate(key);
      members.set(key, { keyStart, start, end: cursor.at });
      plain &&= plainKey.test(key);
    } while (cursor.take(COMMA));
    cursor.expect(CLOSE_BRACE, "',' or '}'");
  }
  cursor.space();
  if (cursor.at < bytes.length) throw new JsonSyntaxError(`unexpected text after the object at byte ${cursor.at}`);
  if (!plain) refuseCaseTwins(members.keys());
  return new ScannedObject(bytes, members);
}

function refuseCaseTwins(keys: Iterable<string>): void {
  const folded = new Set<string>();
  for (const key of keys) {
    // Up, then down: Go's parser takes "ſ" for "s" and the Kelvin sign for "k".
    const size = folded.size;
    if (folded.add(key.toUpperCase().toLowerCase()).size === size) throw duplicate(key);
  }
}

function duplicate(key: string): JsonSyntaxError {
  return new JsonSyntaxError(`duplicate key ${JSON.stringify(key.slice(0, 64))}`);
}

/** A class, beside the rule that there are none: one is made for every request, and closures would be made with each. */
class ScannedObject implements JsonObject {
  constructor(
    readonly bytes: Buffer,
    private readonly members: ReadonlyMap<string, Member>,
  ) {}

  has(key: string): boolean {
    return this.members.has(key);
  }

  kind(key: string): JsonKind | undefined {
    const member = this.members.get(key);
    return member && kindOf(this.bytes[member.start]);
  }

  get(key: string): unknown {
    const member = this.members.get(key);
    if (!member) return undefined;
    try {
      return JSON.parse(textOf(this.bytes, member));
    } catch (error) {
      throw new JsonSyntaxError(`invalid JSON value at byte ${member.start}`, { cause: error });
    }
  }

  raw(key: string): string | undefined {
    const member = this.members.get(key);
    return member && textOf(this.bytes, member);
  }

  items(key: string): readonly string[] | undefined {
    const member = this.members.get(key);
    if (!member || this.bytes[member.start] !== OPEN_BRACKET) return undefined;
    return elements(this.bytes, member).map((element) => textOf(this.bytes, element));
  }

  with(changes: ReadonlyMap<string, string | undefined>): Buffer {
    return splice(this.bytes, this.members, changes);
  }
}

function textOf(bytes: Buffer, { start, end }: Span): string {
  return bytes.toString("utf8", start, end);
}

function kindOf(first: number | undefined): JsonKind {
  switch (first) {
    case OPEN_BRACE:
      return "object";
    case OPEN_BRACKET:
      return "array";
    case QUOTE:
      return "string";
    case 0x74: // t
    case 0x66: // f
      return "boolean";
    case 0x6e: // n
      return "null";
    default:
      return "number";
  }
}

function elements(bytes: Buffer, array: Span): Span[] {
  const cursor = new JsonCursor(bytes, array.start + 1);
  const spans: Span[] = [];
  if (cursor.take(CLOSE_BRACKET)) return spans;
  do {
    cursor.space();
    const start = cursor.at;
    cursor.value();
    if (spans.push({ start, end: cursor.at }) > maxJsonItems)
      throw new JsonSyntaxError(`more than ${maxJsonItems} elements at byte ${array.start}`);
  } while (cursor.take(COMMA));
  return spans;
}

function splice(
  bytes: Buffer,
  members: ReadonlyMap<string, Member>,
  changes: ReadonlyMap<string, string | undefined>,
): Buffer {
  if (changes.size === 0) return bytes;
  const kept = [...members].filter(([key]) => !changes.has(key) || changes.get(key) !== undefined);
  const removed = kept.length < members.size;
  const added = [...changes].filter(([key, json]) => json !== undefined && !members.has(key));
  if (!removed && added.length === 0 && kept.every(([key]) => !changes.has(key))) return bytes;

  const parts: Buffer[] = [];
  let at = 0;
  if (removed) {
    // Commas depend on what is left, so members are laid out anew, each with its own bytes.
    parts.push(Buffer.from("{"));
    kept.forEach(([key, member], index) => {
      if (index > 0) parts.push(Buffer.from(","));
      parts.push(bytes.subarray(member.keyStart, member.start));
      const json = changes.get(key);
      parts.push(json === undefined ? bytes.subarray(member.start, member.end) : Buffer.from(json));
    });
  } else {
    for (const [key, member] of kept) {
      const json = changes.get(key);
      if (json === undefined) continue;
      parts.push(bytes.subarray(at, member.start), Buffer.from(json));
      at = member.end;
    }
    parts.push(bytes.subarray(at, bytes.lastIndexOf(CLOSE_BRACE)));
  }
  let first = kept.length === 0;
  for (const [key, json] of added) {
    parts.push(Buffer.from(`${first ? "" : ","}${JSON.stringify(key)}:${json}`));
    first = false;
  }
  parts.push(removed ? Buffer.from("}") : bytes.subarray(bytes.lastIndexOf(CLOSE_BRACE)));
  return Buffer.concat(parts);
}

/**
 * A member of the JSON object in `bytes`, as JSON text, found from its end: for bodies that are JSON and have it near
 * their end, at the cost of what follows it. `quotedKey` is the key in its quotes. Undefined: look for it properly.
 */
export function lastMember(bytes: Buffer, quotedKey: Buffer): string | undefined {
  const at = bytes.lastIndexOf(quotedKey);
  if (at < 0) return undefined;
  try {
    const cursor = new JsonCursor(bytes, at + quotedKey.length);
    if (!cursor.take(COLON)) return undefined;
    cursor.space();
    const start = cursor.at;
    cursor.value();
    const end = cursor.at;
    while (cursor.take(COMMA)) {
      cursor.element(CLOSE_BRACE);
      cursor.value();
    }
    // What follows closes one level, so this is the top one: nothing that stands deeper passes for it.
    if (!cursor.take(CLOSE_BRACE)) return undefined;
    cursor.space();
    return cursor.at === bytes.length ? bytes.toString("utf8", start, end) : undefined;
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined;
    throw error;
  }
}
