// One server that scripts are run on, and what its answers, or their absence, tell of it.

import { type Breaker, createBreaker } from "./breaker.js";
import { createRemoteClock, type RemoteClock } from "./redis-clock.js";
import { RedisAwayError, readRedisError } from "./redis-errors.js";

/** One server, as it is seen from here. */
export interface ServerState {
  readonly name: string;
  /** Whether it is asked: it answered once, and of late. */
  readonly up: boolean;
  /** Commands without an answer, also those that nobody waits for any more. */
  readonly inFlight: number;
}

/** When a server was heard of, by the monotonic clock. */
export interface Contact {
  /** Its last answer; undefined: none came yet. */
  readonly lastAt: number | undefined;
  /** Whether it was asked in vain since then. */
  readonly failed: boolean;
  /** Since when no two answers were further apart than `silentMs`; undefined: they never were. */
  readonly since: number | undefined;
}

/** A server and what is known of it. */
export interface Lane {
  readonly name: string;
  readonly clock: RemoteClock;
  readonly breaker: Breaker;
  /** Commands without an answer. Those who send count them. */
  inFlight: number;
  /** How often each script was sent in full, by its hash. */
  readonly loads: Map<string, number>;
  /** What went wrong last; undefined: nothing since its last answer. */
  readonly lastError: unknown;
  /** It answered, with its time, what was sent at `sentAt`. */
  answered(now: number, sentAt: number): void;
  /** A call failed. Returns what that means. */
  failed(error: unknown): Error;
  /** It may be known again: a connection was made. */
  connected(): void;
  /** Whether somebody should ask it something: it is not known yet, failed last, or nobody asked it for long. */
  needsAsking(): boolean;
  contact(): Contact;
  state(): ServerState;
}

export interface LaneParts {
  readonly name: string;
  /** Asks it something harmless. Rejects when it does not answer. */
  readonly probe: () => Promise<unknown>;
  /** It is asked again, or no more. */
  readonly onChange: () => void;
  /** It answered for the first time. */
  readonly onFirst: () => void;
}

/** A server that has been asked nothing for so long is asked the time. */
const quietMs = 2_000;

/** A server that says nothing for longer than `silentMs` was away. */
export function createLane(
  { name, probe, onChange, onFirst }: LaneParts,
  { silentMs }: { readonly silentMs: number },
): Lane {
  const clock = createRemoteClock();
  const breaker = createBreaker({ probe, onChange });
  /** Undefined: it never did. */
  let answeredAt: number | undefined;
  let inVain = false;
  let since: number | undefined;
  let lastError: unknown;

  const lane: Lane = {
    name,
    clock,
    breaker,
    inFlight: 0,
    loads: new Map(),
    get lastError() {
      return lastError;
    },
    answered(now, sentAt) {
      clock.learn(now, sentAt);
      breaker.succeeded();
      const at = performance.now();
      const isFirst = answeredAt === undefined;
      if (answeredAt === undefined ? inVain : at - answeredAt > silentMs) since = at;
      answeredAt = at;
      inVain = false;
      lastError = undefined;
      if (isFirst) onFirst();
    },
    failed(error) {
      const read = readRedisError(error);
      if (read instanceof RedisAwayError) {
        // What the server said tells more than that it cannot be asked since.
        if (read.reason === "refused" || lastError === undefined) lastError = read.cause ?? read;
        breaker.failed();
        inVain = true;
      } else breaker.succeeded();
      return read;
    },
    connected() {
      clock.relearn();
      breaker.hint();
    },
    needsAsking: () => answeredAt === undefined || lastError !== undefined || performance.now() - answeredAt > quietMs,
    contact: () => ({ lastAt: answeredAt, failed: inVain, since }),
    state: () => ({ name, up: answeredAt !== undefined && !breaker.open, inFlight: lane.inFlight }),
  };
  return lane;
}
