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
      // What was held had no end in it, but may have the beginning of one.
      const nextEnd = endFinder(bytes, Math.max(0, held.length - maxEndBytes + 1));
      const passed: Buffer[] = [];
      // From here on nothing is decided yet.
      let from = 0;
      let start = 0;
      for (let end = nextEnd(0); end > 0; end = nextEnd(start)) {
        if (!passing && drops(bytes.subarray(start, end))) {
          passed.push(bytes.subarray(from, start));
          from = end;
        }
        passing = false;
        start = end;
      }
      if (passing || bytes.length - start > maxHeldBytes) {
        passing = true;
        // All but what may be the beginning of its end.
        start = Math.max(start, bytes.length - maxEndBytes + 1);
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

const maxEndBytes = 4;
const LF = 0x0a;
const CR = 0x0d;
const otherEnds = [Buffer.from("\r\n\r\n"), Buffer.from("\r\r")];

/** Where the next end of one kind is over, looked for from a place on; -1 when there is none. */
type FindEnd = (from: number) => number;

/**
 * Finds where the event that begins at a place is over; -1 when its end is not there. Places must not go back; nothing in
 * front of `from` ends an event.
 */
function endFinder(bytes: Buffer, from: number): FindEnd {
  const plain: FindEnd = (at) => plainEnd(bytes, at);
  if (!bytes.includes(CR, from)) return (start) => plain(Math.max(from, start));
  // Each kind is looked for once up to its next place: one that is not there must not be looked for again and again.
  const others = otherEnds.map(
    (end): FindEnd =>
      (at) => {
        const found = bytes.indexOf(end, at);
        return found < 0 ? -1 : found + end.length;
      },
  );
  const kinds = [plain, ...others].map((find) => ({ find, end: find(from) }));
  return (start) => {
    let first = -1;
    for (const kind of kinds) {
      if (kind.end >= 0 && kind.end <= start) kind.end = kind.find(start);
      if (kind.end >= 0 && (first < 0 || kind.end < first)) first = kind.end;
    }
    return first;
  };
}

function plainEnd(bytes: Buffer, from: number): number {
  let at = bytes.indexOf(LF, from);
  while (at >= 0 && bytes[at + 1] !== LF) at = bytes.indexOf(LF, at + 1);
  return at < 0 ? -1 : at + 2;
}
