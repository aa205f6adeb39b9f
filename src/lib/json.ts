// A JSON object as bytes: looked at once, changed by splicing, never parsed and written again as a whole.

import { isUtf8 } from "node:buffer";

/** Deepest nesting accepted: deeper input serves only to break parsers. */
export const maxJsonDepth = 64;
/** Most object keys accepted, over all levels. */
export const maxJsonKeys = 10_000;
/** Most elements that `items` takes apart. */
export const maxJsonItems = 100_000;

/** The bytes are not a JSON object that the gateway accepts; the message says why and where. */
export class JsonSyntaxError extends Error {
  override readonly name = "JsonSyntaxError";
}

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

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

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
  const cursor = new Cursor(bytes);
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
  return jsonObject(bytes, members);
}

/** A key that is alike in every case; nearly all are. */
const plainKey = /^[a-z0-9_]*$/;

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

function jsonObject(bytes: Buffer, members: ReadonlyMap<string, Member>): JsonObject {
  const text = ({ start, end }: Span): string => bytes.toString("utf8", start, end);
  const parse = (span: Span): unknown => {
    try {
      return JSON.parse(text(span));
    } catch (error) {
      throw new JsonSyntaxError(`invalid JSON value at byte ${span.start}`, { cause: error });
    }
  };
  return {
    bytes,
    has: (key) => members.has(key),
    kind(key) {
      const member = members.get(key);
      return member && kindOf(bytes[member.start]);
    },
    get(key) {
      const member = members.get(key);
      return member && parse(member);
    },
    raw(key) {
      const member = members.get(key);
      return member && text(member);
    },
    items(key) {
      const member = members.get(key);
      return member && bytes[member.start] === OPEN_BRACKET ? elements(bytes, member).map(text) : undefined;
    },
    with: (changes) => splice(bytes, members, changes),
  };
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
  const cursor = new Cursor(bytes, array.start + 1);
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

/** A reading position in JSON bytes. */
class Cursor {
  #keys = 0;
  constructor(
    readonly bytes: Buffer,
    public at = 0,
  ) {}

  space(): void {
    let c = this.bytes[this.at];
    while (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09) c = this.bytes[++this.at];
  }

  take(byte: number): boolean {
    this.space();
    if (this.bytes[this.at] !== byte) return false;
    this.at++;
    return true;
  }

  expect(byte: number, what: string): void {
    if (!this.take(byte)) throw new JsonSyntaxError(`expected ${what} at byte ${this.at}`);
  }

  /** Moves behind the string that begins here. */
  string(): void {
    const { bytes } = this;
    let at = this.at + 1;
    // Most strings are short: looking for their end byte by byte is cheaper than calling out.
    for (const near = Math.min(at + shortString, bytes.length); at < near; at++) {
      const c = bytes[at];
      if (c === BACKSLASH) at++;
      else if (c === QUOTE) {
        this.at = at + 1;
        return;
      }
    }
    let quote = at - 1;
    do {
      quote = bytes.indexOf(QUOTE, quote + 1);
      if (quote < 0) throw new JsonSyntaxError(`unterminated string at byte ${this.at}`);
    } while (escaped(bytes, quote));
    this.at = quote + 1;
  }

  key(): string {
    const start = this.at;
    this.skipKey();
    const text = this.bytes.toString("utf8", start + 1, this.at - 1);
    if (plainKey.test(text)) return text;
    try {
      return JSON.parse(`"${text}"`) as string;
    } catch (error) {
      throw new JsonSyntaxError(`invalid key at byte ${start}`, { cause: error });
    }
  }

  skipKey(): void {
    if (this.bytes[this.at] !== QUOTE) throw new JsonSyntaxError(`expected a key at byte ${this.at}`);
    if (++this.#keys > maxJsonKeys) throw new JsonSyntaxError(`more than ${maxJsonKeys} keys`);
    this.string();
  }

  /** Moves behind the value that begins here. Not recursive: depth costs no stack. */
  value(): void {
    // For each open level the byte that closes it: its opening byte plus two, for braces and brackets alike.
    const open: number[] = [];
    do {
      this.space();
      const c = this.bytes[this.at];
      if (c === OPEN_BRACE || c === OPEN_BRACKET) {
        if (open.length + 2 > maxJsonDepth) throw new JsonSyntaxError(`nested deeper than ${maxJsonDepth} levels`);
        this.at++;
        if (!this.take(c + 2)) {
          open.push(c + 2);
          this.element(c + 2);
          continue;
        }
      } else if (c === QUOTE) this.string();
      else this.scalar();
      // Behind a value: close what ends here, and go on to the next element of what does not.
      for (let close = open.at(-1); close !== undefined; close = open.at(-1)) {
        if (this.take(COMMA)) {
          this.element(close);
          break;
        }
        this.expect(close, "',' or a closing bracket");
        open.pop();
      }
    } while (open.length > 0);
  }

  /** Moves to where the value of an element begins: in an object, behind its key. */
  element(close: number): void {
    if (close !== CLOSE_BRACE) return;
    this.space();
    this.skipKey();
    this.expect(COLON, "':'");
  }

  /** Moves behind the number, `true`, `false` or `null` that begins here. */
  scalar(): void {
    const start = this.at;
    const c = this.bytes[start];
    if (c === 0x74) this.literal("true");
    else if (c === 0x66) this.literal("false");
    else if (c === 0x6e) this.literal("null");
    else this.number();
    if (this.at === start) throw new JsonSyntaxError(`expected a JSON value at byte ${start}`);
  }

  literal(word: string): void {
    const end = this.at + word.length;
    if (this.bytes.toString("latin1", this.at, end) === word) this.at = end;
  }

  /** https://www.rfc-editor.org/rfc/rfc8259#section-6. Stays where it is when no number begins here. */
  number(): void {
    const { bytes } = this;
    const start = this.at;
    if (bytes[this.at] === MINUS) this.at++;
    let whole = bytes[this.at] === ZERO;
    if (whole) this.at++;
    else whole = this.digits();
    if (whole && bytes[this.at] === POINT) {
      this.at++;
      whole = this.digits();
    }
    const e = bytes[this.at];
    if (whole && (e === 0x65 || e === 0x45)) {
      this.at++;
      if (bytes[this.at] === PLUS || bytes[this.at] === MINUS) this.at++;
      whole = this.digits();
    }
    if (!whole) this.at = start;
  }

  digits(): boolean {
    const start = this.at;
    let c = this.bytes[start] ?? 0;
    while (c >= ZERO && c <= NINE) c = this.bytes[++this.at] ?? 0;
    return this.at > start;
  }
}

/** Strings up to this many bytes are read byte by byte. */
const shortString = 32;

function escaped(bytes: Buffer, quote: number): boolean {
  let slashes = 0;
  while (bytes[quote - 1 - slashes] === BACKSLASH) slashes++;
  return slashes % 2 === 1;
}
