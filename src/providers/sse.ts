// Server-sent events as bytes, whatever the chunking: https://html.spec.whatwg.org/multipage/server-sent-events.html

import { CR, LF } from "../lib/line-ends.js";
import { isOneEvent } from "./sse-lines.js";

/** Finds the events of one stream in its chunks. */
export interface SseScanner {
  /** Looks at the next chunk; calls back for every event that it completes. */
  push(chunk: Buffer): void;
  /** The stream is over. Calls back for an event that lacks only its line end or empty line: some servers end on `[DONE]`. */
  end(): void;
}

const SPACE = 0x20;
const COLON = 0x3a;
const byteOrderMark = Buffer.from("\ufeff");
const lineFeed = Buffer.from("\n");

/**
 * Calls `onData` with each event's payload: its `data` lines joined by a line feed. Events without one are passed over.
 * An event whose payload is longer than `maxEventBytes` is passed over too (`onOversize` tells), so that state stays
 * bounded; the next one is found again. Payloads are views, valid during the call.
 */
export function createSseScanner(
  onData: (data: Buffer) => void,
  options: { readonly maxEventBytes: number; readonly onOversize?: () => void },
): SseScanner {
  const { maxEventBytes } = options;
  // The line that the last chunk left unfinished.
  const line = createBytes();
  // The open event's payload: `data` while it is one line of the current chunk, collected in `joined` otherwise.
  let data: Buffer | undefined;
  const joined = createBytes();
  let collecting = false;
  let skipping = false;
  let afterCr = false;
  let begun = false;

  const oversize = (): void => {
    if (!skipping) options.onOversize?.();
    skipping = true;
    data = undefined;
    collecting = false;
    clear(joined);
  };

  const payloadBytes = (): number => data?.length ?? (collecting ? joined.length : 0);

  const collect = (): void => {
    if (data === undefined) return;
    add(joined, data);
    collecting = true;
    data = undefined;
  };

  const dispatch = (): void => {
    const payload = data ?? (collecting ? view(joined) : undefined);
    if (payload !== undefined && !skipping) onData(payload);
    data = undefined;
    collecting = false;
    skipping = false;
    clear(joined);
  };

  const endLine = (bytes: Buffer, start: number, end: number): void => {
    if (start === end) return dispatch();
    if (skipping) return;
    const value = dataStart(bytes, start, end);
    if (value < 0) return;
    if (payloadBytes() + end - value > maxEventBytes) return oversize();
    if (data === undefined && !collecting) {
      data = bytes.subarray(value, end);
      return;
    }
    collect();
    add(joined, lineFeed);
    add(joined, bytes.subarray(value, end));
  };

  /** Keeps the beginning of a line until its end comes. */
  const keep = (part: Buffer): void => {
    add(line, part);
    const bytes = view(line);
    const value = dataStart(bytes, begun ? 0 : markLength(bytes), bytes.length);
    const isPayload = value >= 0;
    if (isPayload && !skipping && payloadBytes() + bytes.length - value > maxEventBytes) oversize();
    // Of a line that is passed over, only that it is not empty matters.
    if (line.length > maxPrefix && (skipping || !isPayload)) line.length = maxPrefix;
  };

  return {
    push(chunk) {
      if (chunk.length === 0) return;
      const between = begun && line.length === 0 && data === undefined && !collecting && !skipping && !afterCr;
      if (between && isOneEvent(chunk)) {
        endLine(chunk, 0, chunk.length - 2);
        return dispatch();
      }
      let at = 0;
      if (afterCr && chunk[0] === LF) at = 1;
      afterCr = false;
      // No CR at all is the rule; then the chunk is searched for one only once.
      let cr = chunk.indexOf(CR, at);
      for (;;) {
        if (cr >= 0 && cr < at) cr = chunk.indexOf(CR, at);
        const lf = chunk.indexOf(LF, at);
        const end = cr < 0 ? lf : lf < 0 ? cr : Math.min(lf, cr);
        if (end < 0) break;
        if (line.length > 0) {
          add(line, chunk.subarray(at, end));
          const whole = view(line);
          endLine(whole, begun ? 0 : markLength(whole), whole.length);
          // The line's bytes are about to be reused.
          collect();
          clear(line);
        } else endLine(chunk, begun ? at : at + markLength(chunk.subarray(at, end)), end);
        begun = true;
        at = end + 1;
        if (chunk[end] === CR) {
          if (at === chunk.length) afterCr = true;
          else if (chunk[at] === LF) at++;
        }
      }
      if (at < chunk.length) keep(chunk.subarray(at));
      // What outlives the chunk must not be a view of it.
      collect();
    },
    end() {
      if (line.length > 0) endLine(view(line), begun ? 0 : markLength(view(line)), line.length);
      dispatch();
      clear(line);
    },
  };
}

/** Enough of a line to tell what it is: a byte order mark, `data`, colon and space. */
const maxPrefix = 9;

function markLength(bytes: Buffer): number {
  return bytes.length >= 3 && bytes.compare(byteOrderMark, 0, 3, 0, 3) === 0 ? 3 : 0;
}

/** Where the value of a `data` line begins; -1 for any other line. */
function dataStart(bytes: Buffer, start: number, end: number): number {
  // "data"
  if (bytes[start] !== 0x64 || bytes[start + 1] !== 0x61 || bytes[start + 2] !== 0x74 || bytes[start + 3] !== 0x61)
    return -1;
  const colon = start + 4;
  if (colon >= end) return colon === end ? end : -1;
  if (bytes[colon] !== COLON) return -1;
  return colon + 1 < end && bytes[colon + 1] === SPACE ? colon + 2 : colon + 1;
}

/**
 * Bytes that grow at their end, copied a bounded number of times however small the pieces are. A record, and functions for all
 * of them: every stream holds two.
 */
interface Bytes {
  /** Room for them; what is behind `length` is not theirs. */
  room: Buffer;
  length: number;
}

const noRoom = Buffer.alloc(0);
/** More room than this is given back once it is not needed. */
const keptBytes = 4096;

function createBytes(): Bytes {
  return { room: noRoom, length: 0 };
}

function add(bytes: Bytes, part: Buffer): void {
  const length = bytes.length + part.length;
  if (length > bytes.room.length) {
    const grown = Buffer.allocUnsafe(Math.max(256, length * 2));
    bytes.room.copy(grown, 0, 0, bytes.length);
    bytes.room = grown;
  }
  part.copy(bytes.room, bytes.length);
  bytes.length = length;
}

/** Valid until the next change. */
function view({ room, length }: Bytes): Buffer {
  return room.subarray(0, length);
}

function clear(bytes: Bytes): void {
  bytes.length = 0;
  if (bytes.room.length > keptBytes) bytes.room = noRoom;
}
