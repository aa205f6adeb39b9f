// Leaves events out of a stream of server-sent events; every other byte passes as it came.

/** Decides by an event's bytes, from its first line to the empty one that ends it. */
export type DropsEvent = (event: Buffer) => boolean;

export interface SseFilter {
  /** What of the stream may be passed on after this chunk: whole events, unless one is very long. Often empty. */
  push(chunk: Buffer): Buffer;
  /** What was kept back: the beginning of an event that never ended. */
  rest(): Buffer;
}

/** Events longer than this are passed on as they come: what is left out is short. */
const maxHeldBytes = 64 * 1024;

const none = Buffer.alloc(0);

export function createSseFilter(drops: DropsEvent): SseFilter {
  let held: Buffer = none;
  // Inside an event that is too long to be held: everything passes up to its end.
  let passing = false;

  return {
    push(chunk) {
      const bytes = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
      const passed: Buffer[] = [];
      // From here on nothing is decided yet.
      let from = 0;
      let start = 0;
      for (let end = eventEnd(bytes, 0); end > 0; end = eventEnd(bytes, start)) {
        if (!passing && drops(bytes.subarray(start, end))) {
          passed.push(bytes.subarray(from, start));
          from = end;
        }
        passing = false;
        start = end;
      }
      if (passing || bytes.length - start > maxHeldBytes) {
        passing = true;
        start = bytes.length;
      }
      passed.push(bytes.subarray(from, start));
      held = start < bytes.length ? Buffer.from(bytes.subarray(start)) : none;
      return passed.length === 1 ? (passed[0] as Buffer) : Buffer.concat(passed);
    },
    rest() {
      const rest = held;
      held = none;
      return rest;
    },
  };
}

const ends = [Buffer.from("\n\n"), Buffer.from("\r\n\r\n"), Buffer.from("\r\r")];

/** Where the event that begins at `from` is over; -1 when its end is not there yet. */
function eventEnd(bytes: Buffer, from: number): number {
  let first = -1;
  for (const end of ends) {
    const at = bytes.indexOf(end, from);
    if (at >= 0 && (first < 0 || at + end.length < first)) first = at + end.length;
  }
  return first;
}
