// Server-sent events as bytes, whatever the chunking: https://html.spec.whatwg.org/multipage/server-sent-events.html

/** Finds the events of one stream in its chunks. */
export interface SseScanner {
  /** Looks at the next chunk; calls back for every event that it completes. */
  push(chunk: Buffer): void;
}

const LF = 0x0a;
const CR = 0x0d;
const none = Buffer.alloc(0);
const dataField = Buffer.from("data");

/**
 * Calls `onData` with each event's payload: its `data` lines joined by a line feed. Events without one are passed over.
 * An event longer than `maxEventBytes` is passed over too (`onOversize` tells), so that state stays bounded.
 * Payloads are views of the chunk, valid during the call.
 */
export function createSseScanner(
  onData: (data: Buffer) => void,
  options: { readonly maxEventBytes: number; readonly onOversize?: () => void },
): SseScanner {
  // What is left of the last chunk: the beginning of a line.
  let rest: Buffer = none;
  // The lines of the open event so far; nearly always one.
  let data: Buffer[] = [];
  let dataBytes = 0;
  let skipping = false;
  let afterCr = false;

  const oversize = (): void => {
    if (!skipping) options.onOversize?.();
    skipping = true;
    data = [];
    dataBytes = 0;
  };

  const line = (bytes: Buffer, start: number, end: number): void => {
    if (start === end) {
      if (data.length > 0 && !skipping) onData(data.length === 1 ? (data[0] as Buffer) : joinLines(data));
      data = [];
      dataBytes = 0;
      skipping = false;
      return;
    }
    if (skipping) return;
    const value = dataValueStart(bytes, start, end);
    if (value < 0) return;
    dataBytes += end - value;
    if (dataBytes > options.maxEventBytes) oversize();
    else data.push(bytes.subarray(value, end));
  };

  return {
    push(chunk) {
      let at = 0;
      if (afterCr && chunk[0] === LF) at = 1;
      if (chunk.length > 0) afterCr = false;
      const bytes = rest.length > 0 ? Buffer.concat([rest, at > 0 ? chunk.subarray(at) : chunk]) : chunk;
      if (rest.length > 0) at = 0;
      rest = none;
      let cr = bytes.indexOf(CR, at);
      for (;;) {
        if (cr >= 0 && cr < at) cr = bytes.indexOf(CR, at);
        const lf = bytes.indexOf(LF, at);
        const end = cr < 0 ? lf : lf < 0 ? cr : Math.min(lf, cr);
        if (end < 0) break;
        line(bytes, at, end);
        at = end + 1;
        if (bytes[end] === CR) {
          if (at === bytes.length) afterCr = true;
          else if (bytes[at] === LF) at++;
        }
      }
      if (at < bytes.length) {
        if (bytes.length - at > options.maxEventBytes) {
          // A line this long is a payload; keep one byte so that it does not look like the empty line that ends an event.
          oversize();
          rest = Buffer.from(":");
        } else rest = Buffer.from(bytes.subarray(at));
      }
      // What outlives the chunk must not be a view of it.
      if (data.length > 0) data = data.map((part) => Buffer.from(part));
    },
  };
}

/** Where the value of a `data` line begins; -1 for any other line. */
function dataValueStart(bytes: Buffer, start: number, end: number): number {
  if (end - start < 4 || bytes.compare(dataField, 0, 4, start, start + 4) !== 0) return -1;
  if (end - start === 4) return end;
  if (bytes[start + 4] !== 0x3a) return -1;
  return bytes[start + 5] === 0x20 && start + 5 < end ? start + 6 : start + 5;
}

function joinLines(lines: readonly Buffer[]): Buffer {
  const joined: Buffer[] = [];
  lines.forEach((part, index) => {
    if (index > 0) joined.push(Buffer.from("\n"));
    joined.push(part);
  });
  return Buffer.concat(joined);
}
