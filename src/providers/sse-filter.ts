// Leaves events out of a stream of server-sent events; every other byte passes as it came.

import { CR, LF } from "../lib/line-ends.js";
import { isOneEvent } from "./sse-lines.js";

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
  // The event under way, and how much of it has been looked at.
  let held: Buffer = none;
  let seen = 0;
  // Nothing stands in the line under way yet.
  let emptyLine = true;
  // Inside an event that is too long to be held: everything passes up to its end.
  let passing = false;

  return {
    push(chunk) {
      const between = held.length === 0 && emptyLine && !passing;
      if (between && isOneEvent(chunk)) return drops(chunk) ? none : chunk;
      const bytes = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
      // A CR at the end may be half of a line end.
      const limit = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
      const passed: Buffer[] = [];
      // Up to `from` everything is decided; the event under way begins at `start`.
      let from = 0;
      let start = 0;
      let at = seen;
      let cr = bytes.indexOf(CR, at);
      for (;;) {
        if (cr >= 0 && cr < at) cr = bytes.indexOf(CR, at);
        const lf = bytes.indexOf(LF, at);
        const end = cr < 0 ? lf : lf < 0 ? cr : Math.min(lf, cr);
        if (end < 0 || end >= limit) break;
        const endsEvent = emptyLine && end === at;
        emptyLine = true;
        at = bytes[end] === CR && bytes[end + 1] === LF ? end + 2 : end + 1;
        if (!endsEvent) continue;
        if (!passing && drops(bytes.subarray(start, at))) {
          passed.push(bytes.subarray(from, start));
          from = at;
        }
        passing = false;
        start = at;
      }
      if (at < limit) emptyLine = false;
      if (passing || limit - start > maxHeldBytes) {
        passing = true;
        start = limit;
      }
      passed.push(bytes.subarray(from, start));
      held = start < bytes.length ? Buffer.from(bytes.subarray(start)) : none;
      seen = limit - start;
      return passed.length === 1 ? (passed[0] as Buffer) : Buffer.concat(passed);
    },
    rest() {
      const rest = held;
      held = none;
      seen = 0;
      return rest;
    },
  };
}
