// What happens to requests, as it happens, for those who watch: in any process, seen from any other. Nobody keeps it, and
// nothing is told while nobody watches.

import { randomUUID } from "node:crypto";
import type { Directory } from "../actors/directory.js";
import { watcherRecord, watcherRemoval } from "../actors/records.js";
import type { ActorStore } from "../actors/store.js";
import type { UsageEvent } from "./event.js";

/** A limit as a watcher is told of it. */
export interface ActivityLimit {
  readonly feature: string;
  readonly unit: string;
  readonly limit: number;
  readonly used: number;
  readonly remaining: number;
  /** ms since the epoch; undefined while no window is open. */
  readonly resetAt: number | undefined;
}

/** Which request, and what is known of it. */
export interface ActivitySubject {
  readonly requestId: string;
  /** Its id is `unknown` where the caller is nobody that the source knows; the name is empty where it is not at hand. */
  readonly actor: { readonly source: string; readonly id: string; readonly name: string };
  readonly feature: string;
  /** As the caller named it; absent when it named none that could be read. */
  readonly model?: string;
  /** The path of the HTTP route or RPC; empty where that is not known. */
  readonly path: string;
}

export type ActivityEvent = ActivitySubject & { readonly at: number } & (
    | { readonly kind: "admitted"; readonly resolvedModel: string; readonly limit?: ActivityLimit }
    /** `times`: how many such requests are told of at once; absent: one. */
    | { readonly kind: "refused"; readonly reason: string; readonly times?: number }
    | { readonly kind: "ended"; readonly event: UsageEvent }
  );

/** What a watcher reads: an event with the process that saw it, or how many it lost since the one before. */
export type Watched =
  | { readonly kind: "event"; readonly process: string; readonly event: ActivityEvent }
  | { readonly kind: "dropped"; readonly count: number };

export interface Activity {
  /** Tells watchers. `event` is called only when there are any. Never throws and never waits. */
  tell(event: () => ActivityEvent): void;
  /** What happens from now on and `matches`, until `signal` aborts. A reader that is too slow loses events and is told how many. */
  watch(matches: (event: ActivityEvent) => boolean, signal: AbortSignal): AsyncIterable<Watched>;
}

export interface ActivityParts {
  readonly store: Pick<ActorStore, "publish" | "subscribe" | "write" | "now">;
  readonly directory: Pick<Directory, "isWatched">;
  /** This process, as others see it. */
  readonly process: string;
}

const channel = "activity";
/** How long a watcher counts as one without saying so again. */
const watchMs = 30_000;
const renewMs = 10_000;
/** Most events that wait for a reader. */
const maxWaiting = 1_000;

export function createActivity({ store, directory, process }: ActivityParts): Activity {
  return {
    tell(event) {
      if (directory.isWatched()) store.publish(channel, JSON.stringify({ process, event: event() }));
    },

    async *watch(matches, signal) {
      const buffer = createBuffer();
      const stop = store.subscribe(channel, (message) => {
        const { process: seenBy, event } = JSON.parse(message) as { process: string; event: ActivityEvent };
        if (matches(event)) buffer.push({ kind: "event", process: seenBy, event });
      });
      const watcher = randomUUID();
      const renew = (): Promise<void> => store.write([watcherRecord(watcher, store.now() + watchMs)]);
      // While the store is away nothing can be told either: the next renewal says so again.
      const timer = setInterval(() => void renew().catch(() => undefined), renewMs);
      const wake = (): void => buffer.end();
      signal.addEventListener("abort", wake, { once: true });
      try {
        await renew();
        if (!signal.aborted) yield* buffer.read();
      } finally {
        signal.removeEventListener("abort", wake);
        clearInterval(timer);
        stop();
        void store.write([watcherRemoval(watcher)]).catch(() => undefined);
      }
    },
  };
}

/** Keeps the latest events for one reader, and counts those it had no room for. */
function createBuffer() {
  const waiting: Watched[] = [];
  let dropped = 0;
  let ended = false;
  let wake: () => void = () => undefined;
  return {
    push(watched: Watched): void {
      if (waiting.length < maxWaiting) waiting.push(watched);
      else dropped++;
      wake();
    },
    end(): void {
      ended = true;
      wake();
    },
    async *read(): AsyncGenerator<Watched> {
      for (;;) {
        if (ended) return;
        const next = waiting.shift();
        if (next) yield next;
        else if (dropped > 0) {
          const count = dropped;
          dropped = 0;
          yield { kind: "dropped", count };
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    },
  };
}
