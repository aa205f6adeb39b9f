// Reading JSON bytes from front to back, without parsing what is passed over.

import { CLOSE_BRACE, COLON, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "./json-bytes.js";

/** Deepest nesting accepted: deeper input serves only to break parsers. */
export const maxJsonDepth = 64;
/** Most object keys accepted, over all levels. */
export const maxJsonKeys = 100_000;
/** The bytes are no JSON that the gateway accepts; the message says why and where. */
export class JsonSyntaxError extends Error {
  override readonly name = "JsonSyntaxError";
}

/** A key that is alike in every case; nearly all are. */
export const plainKey = /^[a-z0-9_]*$/;

const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const BACKSLASH = 0x5c;

/** A reading position in JSON bytes. */
export class JsonCursor {
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
