// Signs of life on streams that are silent for long, so that what stands between does not take them for dead: comments, which
// readers of event streams pass over. https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes

import { CR, isLineEnd, LF } from "../lib/line-ends.js";
import { createShortLivedSet, type Placed } from "../lib/short-lived.js";
import type { HttpResponse } from "./http.js";

/** The signs of life of one stream. */
export interface Heartbeat {
  /** These bytes are being passed on. */
  wrote(chunk: Buffer): void;
  /** No more, whatever happens. Safe to call twice. */
  stop(): void;
}

/** One timer for all streams: cheaper than timers of their own, which every chunk would have to move. */
export interface Heartbeats {
  /** For an event stream whose head has been sent. */
  start(res: Pick<HttpResponse, "writableLength"> & { write(bytes: Buffer): unknown }): Heartbeat;
}

/** A stream that is looked after. */
interface Beating extends Placed {
  readonly beat: () => void;
}

const comment = Buffer.from(": keep-alive\n\n");
const never: Heartbeat = { wrote() {}, stop() {} };

/** A comment on each stream that has been silent for `everyMs`, and each time again; 0: none. */
export function createHeartbeats({ everyMs }: { readonly everyMs: number }): Heartbeats {
  if (everyMs === 0) return { start: () => never };
  const tickMs = Math.min(1_000, Math.ceil(everyMs / 10));
  const silentTicks = Math.ceil(everyMs / tickMs);
  const streams = createShortLivedSet<Beating>();
  let timer: NodeJS.Timeout | undefined;

  const tick = (): void => {
    for (const stream of streams) stream.beat();
    if (streams.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  return {
    start(res) {
      let ticks = 0;
      // Its last four bytes. None yet: an event can begin.
      let tail = endOfEvent;
      const stream: Beating = { place: -1, beat };
      function beat(): void {
        ticks++;
        // A reader that is slow has something to read.
        if (ticks < silentTicks || !endsEvent(tail) || res.writableLength > 0) return;
        ticks = 0;
        res.write(comment);
      }
      streams.add(stream);
      timer ??= setInterval(tick, tickMs).unref();
      return {
        wrote(chunk) {
          ticks = 0;
          for (let at = Math.max(0, chunk.length - 4); at < chunk.length; at++)
            tail = (tail << 8) | (chunk[at] as number);
        },
        stop: () => void streams.delete(stream),
      };
    },
  };
}

const endOfEvent = (LF << 8) | LF;

/** Whether what ends in these four bytes ends with an empty line, hence between two events. */
function endsEvent(tail: number): boolean {
  const last = tail & 0xff;
  const before = (tail >> 8) & 0xff;
  if (last === CR) return before === CR;
  return last === LF && (before === LF || (before === CR && isLineEnd((tail >> 16) & 0xff)));
}
