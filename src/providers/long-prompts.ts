// How much text a long body has, without making texts of it: conversations of coding agents have hundreds of kilobytes, and what is
// held for them need not be known to the token.

import { isAscii } from "node:buffer";
import { COLON, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "../lib/json-bytes.js";
import { JsonCursor } from "../lib/json-cursor.js";
import { calls, wordless } from "./texts.js";

/** An amount of text. */
export interface TextSize {
  /** As `length` of a string has them. */
  readonly characters: number;
  /** Bytes of UTF-8, beyond one for each character. */
  readonly furtherBytes: number;
}

/** Of the body itself: JSON that tells what tools are counts as it stands. */
const asTheyStand = new Set(["tools", "functions"]);

/**
 * About as much as the APIs' `prompt` makes of the body, escapes counted as they stand: within a tenth of it. Throws
 * `JsonSyntaxError` where the body is no JSON.
 */
export function textSizeOf(body: Buffer): TextSize {
  const cursor = new JsonCursor(body);
  let characters = 0;
  let furtherBytes = 0;

  function add(start: number, end: number): void {
    const piece = body.subarray(start, end);
    const length = isAscii(piece) ? piece.length : piece.toString("utf8").length;
    characters += length;
    furtherBytes += piece.length - length;
  }

  function words(depth: number): void {
    cursor.space();
    const { at } = cursor;
    const c = body[at];
    if (c === QUOTE) {
      cursor.string();
      add(at + 1, cursor.at - 1);
    } else if (c === OPEN_BRACKET) each(() => words(depth + 1));
    else if (c === OPEN_BRACE) each(() => named(depth));
    else cursor.value();
  }

  /** Each element of the array or object that begins here. */
  function each(element: () => void): void {
    const close = (body[cursor.at++] as number) + 2;
    if (cursor.take(close)) return;
    do {
      element();
    } while (cursor.take(COMMA));
    cursor.expect(close, "',' or a closing bracket");
  }

  function named(depth: number): void {
    cursor.space();
    const key = cursor.key();
    cursor.expect(COLON, "':'");
    cursor.space();
    const start = cursor.at;
    const stands = depth === 0 ? asTheyStand.has(key) : calls.has(key) && body[start] === OPEN_BRACE;
    if (!stands && !wordless.has(key) && !(key === "data" && isEncoded(start))) return words(depth + 1);
    cursor.value();
    if (stands) add(start, cursor.at);
  }

  /** Whether what begins here has no space for so long that it is no text but base64. */
  function isEncoded(start: number): boolean {
    const beginning = body.subarray(start, start + 256);
    return beginning.length === 256 && isAscii(beginning) && !beginning.includes(0x20);
  }

  words(0);
  return { characters, furtherBytes };
}
