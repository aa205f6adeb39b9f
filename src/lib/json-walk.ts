// Reading large JSON answers from front to back, without looking twice at what is passed over.

import { CLOSE_BRACE, CLOSE_BRACKET, COLON, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "./json-bytes.js";
import { type JsonCursor, JsonSyntaxError } from "./json-cursor.js";

/** Goes through the object that begins here. `member` is called before each value, and moves behind it. */
export function walkObject(cursor: JsonCursor, member: (key: string) => void): void {
  cursor.expect(OPEN_BRACE, "an object");
  if (cursor.take(CLOSE_BRACE)) return;
  do {
    cursor.space();
    const key = cursor.key();
    cursor.expect(COLON, "':'");
    cursor.space();
    member(key);
  } while (cursor.take(COMMA));
  cursor.expect(CLOSE_BRACE, "',' or '}'");
}

/** Goes through the array that begins here. `element` is called before each value, and moves behind it. */
export function walkArray(cursor: JsonCursor, element: (index: number) => void): void {
  cursor.expect(OPEN_BRACKET, "an array");
  if (cursor.take(CLOSE_BRACKET)) return;
  let index = 0;
  do {
    cursor.space();
    element(index++);
  } while (cursor.take(COMMA));
  cursor.expect(CLOSE_BRACKET, "',' or ']'");
}

/** Moves behind the value that begins here; its bytes, as they are. */
export function valueAt(cursor: JsonCursor): Buffer {
  const start = cursor.at;
  cursor.value();
  return cursor.bytes.subarray(start, cursor.at);
}

const numbers = /^\[[-+\d.eE,\s]*\]$/;

/**
 * Moves behind the array of numbers that begins here; its bytes, as they are. Much faster than looking at each number: their
 * syntax is not checked. Throws `JsonSyntaxError` when there is anything else in it.
 */
export function numbersAt(cursor: JsonCursor): Buffer {
  const { bytes, at: start } = cursor;
  const end = bytes.indexOf(CLOSE_BRACKET, start) + 1;
  if (bytes[start] !== OPEN_BRACKET || end === 0 || !numbers.test(bytes.toString("latin1", start, end)))
    throw new JsonSyntaxError(`expected an array of numbers at byte ${start}`);
  cursor.at = end;
  return bytes.subarray(start, end);
}

/** Whether a string begins here. */
export function isStringAt({ bytes, at }: JsonCursor): boolean {
  return bytes[at] === QUOTE;
}

/** How many numbers the array has that `numbersAt` found. */
export function countNumbers(array: Buffer): number {
  let commas = 0;
  for (let at = array.indexOf(COMMA); at >= 0; at = array.indexOf(COMMA, at + 1)) commas++;
  return commas > 0 || array.toString("latin1", 1, array.length - 1).trim() !== "" ? commas + 1 : 0;
}

/** Cuts an array that `numbersAt` found into so many of the same length; undefined: it cannot be cut so. */
export function cutNumbers(array: Buffer, parts: number): readonly Buffer[] | undefined {
  const length = countNumbers(array) / parts;
  if (!Number.isInteger(length) || length === 0) return undefined;
  const cut: Buffer[] = [];
  let start = 1;
  for (let part = 0; part < parts; part++) {
    let end = start - 1;
    for (let each = 0; each < length; each++) {
      const comma = array.indexOf(COMMA, end + 1);
      end = comma < 0 ? array.length - 1 : comma;
    }
    cut.push(Buffer.concat([open, array.subarray(start, end), close]));
    start = end + 1;
  }
  return cut;
}

const open = Buffer.from("[");
const close = Buffer.from("]");
