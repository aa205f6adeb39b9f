// A JSON object as bytes: looked at once, changed by splicing, never parsed and written again as a whole.

/** Deepest nesting accepted: deeper input serves only to break parsers. */
export const maxJsonDepth = 64;
/** Most object keys accepted, over all levels. */
export const maxJsonKeys = 10_000;

/** The bytes are not a JSON object that the gateway accepts; the message says why and where. */
export class JsonSyntaxError extends Error {
  override readonly name = "JsonSyntaxError";
}

/** A value's place in the bytes: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A JSON object whose members are found but not parsed. */
export interface JsonObject {
  readonly bytes: Buffer;
  has(key: string): boolean;
  /** The member's value, parsed; undefined when there is no such member. */
  get(key: string): unknown;
  /** The member's value as JSON text; undefined when there is no such member. */
  raw(key: string): string | undefined;
  /** The elements of a member that is an array, as JSON texts; undefined when it is none. */
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
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Finds the members of the JSON object in `bytes`. Duplicate top-level keys are refused, however they are escaped: two
 * parsers would disagree on them. Nested values are checked for balance only; what is wrong inside is the upstream's to say.
 * Throws `JsonSyntaxError`.
 */
export function scanJsonObject(bytes: Buffer): JsonObject {
  const members = new Map<string, Member>();
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
      if (members.has(key)) throw new JsonSyntaxError(`duplicate key ${JSON.stringify(key)}`);
      members.set(key, { keyStart, start, end: cursor.at });
    } while (cursor.take(COMMA));
    cursor.expect(CLOSE_BRACE, "',' or '}'");
  }
  cursor.space();
  if (cursor.at < bytes.length) throw new JsonSyntaxError(`unexpected text after the object at byte ${cursor.at}`);
  return jsonObject(bytes, members);
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

function elements(bytes: Buffer, array: Span): Span[] {
  const cursor = new Cursor(bytes, array.start + 1);
  const spans: Span[] = [];
  if (cursor.take(CLOSE_BRACKET)) return spans;
  do {
    cursor.space();
    const start = cursor.at;
    cursor.value();
    spans.push({ start, end: cursor.at });
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
    const close = bytes.lastIndexOf(CLOSE_BRACE);
    parts.push(bytes.subarray(at, close));
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
    const start = this.at;
    let quote = start;
    do {
      quote = bytes.indexOf(QUOTE, quote + 1);
      if (quote < 0) throw new JsonSyntaxError(`unterminated string at byte ${start}`);
    } while (escaped(bytes, quote));
    this.at = quote + 1;
  }

  key(): string {
    if (this.bytes[this.at] !== QUOTE) throw new JsonSyntaxError(`expected a key at byte ${this.at}`);
    this.countKey();
    const start = this.at;
    this.string();
    const text = this.bytes.toString("utf8", start, this.at);
    try {
      return JSON.parse(text) as string;
    } catch (error) {
      throw new JsonSyntaxError(`invalid key at byte ${start}`, { cause: error });
    }
  }

  countKey(): void {
    if (++this.#keys > maxJsonKeys) throw new JsonSyntaxError(`more than ${maxJsonKeys} keys`);
  }

  /** Moves behind the value that begins here. */
  value(): void {
    const first = this.bytes[this.at];
    if (first === QUOTE) this.string();
    else if (first === OPEN_BRACE || first === OPEN_BRACKET) this.container();
    else this.scalar();
  }

  container(): void {
    const { bytes } = this;
    const start = this.at;
    const open: number[] = [];
    do {
      const c = bytes[this.at];
      if (c === QUOTE) {
        this.string();
        continue;
      }
      if (c === OPEN_BRACE || c === OPEN_BRACKET) {
        // A level's closing byte is its opening byte plus two, for braces and brackets alike.
        if (open.push(c + 2) >= maxJsonDepth) throw new JsonSyntaxError(`nested deeper than ${maxJsonDepth} levels`);
      } else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) {
        if (open.pop() !== c) throw new JsonSyntaxError(`unbalanced bracket at byte ${this.at}`);
      } else if (c === COLON) this.countKey();
      else if (c === undefined) throw new JsonSyntaxError(`unterminated value at byte ${start}`);
      this.at++;
    } while (open.length > 0);
  }

  scalar(): void {
    const start = this.at;
    for (;;) {
      const c = this.bytes[this.at];
      if (c === undefined || c <= 0x20 || c === COMMA || c === CLOSE_BRACE || c === CLOSE_BRACKET) break;
      this.at++;
    }
    if (!isScalar(this.bytes.toString("latin1", start, this.at)))
      throw new JsonSyntaxError(`invalid JSON value at byte ${start}`);
  }
}

const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function isScalar(text: string): boolean {
  return text === "true" || text === "false" || text === "null" || number.test(text);
}

function escaped(bytes: Buffer, quote: number): boolean {
  let slashes = 0;
  while (bytes[quote - 1 - slashes] === BACKSLASH) slashes++;
  return slashes % 2 === 1;
}
