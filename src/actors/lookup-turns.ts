// One look-up for a token at a time, over all processes: the others wait for what it brings.

import { UnavailableError } from "../errors.js";
import type { ActorStore, Lease } from "./store.js";

/** Takes turns with other processes. */
export interface LookupTurns {
  /**
   * What `ask` brings, or what is known when another process asked: `answer` says so. Rejects when that takes too long, or
   * when the other process failed.
   */
  take<T>(tokenHash: string, answer: () => T | undefined, ask: () => Promise<T>): Promise<T>;
  /** The same, without waiting: undefined when another process asks. */
  takeIfFree<T>(tokenHash: string, ask: () => Promise<T>): Promise<T | undefined>;
  /** Something new is known: whoever waits looks again. */
  told(): void;
  close(): void;
}

export interface LookupTurnsParts {
  readonly store: Pick<ActorStore, "acquire" | "publish" | "subscribe">;
  /** This process, as others see it. */
  readonly process: string;
  /** A look-up of any process failed: it makes no sense to ask again right away. Must not throw. */
  readonly onFailed: (tokenHash: string, retryAfterMs: number) => void;
  /** Whether that is still so. */
  readonly hasFailed: (tokenHash: string) => boolean;
}

/** A look-up takes less. */
const leaseMs = 10_000;
/** After a look-up, until every process surely knows what it brought. */
const lingerMs = 2_000;
/** How long the look-up of another process is waited for. */
const waitMs = 6_500;
/** When callers may try again, where nobody says so. */
const laterMs = 1_000;
const failures = "lookup-failures";

export function createLookupTurns({ store, process, onFailed, hasFailed }: LookupTurnsParts): LookupTurns {
  const waiting = new Map<string, Set<Waiter>>();
  let looking = false;
  const unsubscribe = store.subscribe(failures, (message) => {
    const [tokenHash = "", ms] = message.split(" ");
    const retryAfterMs = Number(ms);
    if (!(retryAfterMs > 0)) return;
    onFailed(tokenHash, retryAfterMs);
    for (const waiter of waiting.get(tokenHash) ?? []) waiter.fail(unavailable(retryAfterMs));
  });

  const acquire = (tokenHash: string): Promise<Lease | undefined> =>
    store.acquire(`lookup/${tokenHash}`, { ttlMs: leaseMs, holder: process });

  /** Asks, and keeps the turn until all processes know the answer. */
  async function askInTurn<T>(tokenHash: string, lease: Lease, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      const ms = error instanceof UnavailableError ? error.retryAfterMs : laterMs;
      store.publish(failures, `${tokenHash} ${Math.ceil(ms)}`);
      throw error;
    } finally {
      setTimeout(() => void lease.release().catch(() => {}), lingerMs).unref();
    }
  }

  function wait<T>(tokenHash: string, answer: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const all = waiting.get(tokenHash) ?? new Set();
      waiting.set(tokenHash, all);
      const leave = (): void => {
        clearTimeout(timer);
        all.delete(waiter);
        if (all.size === 0) waiting.delete(tokenHash);
      };
      const waiter: Waiter = {
        look() {
          const known = answer();
          if (known === undefined) return;
          leave();
          resolve(known);
        },
        fail(error) {
          leave();
          reject(error);
        },
      };
      const timer = setTimeout(() => waiter.fail(unavailable(laterMs)), waitMs).unref();
      all.add(waiter);
      waiter.look();
    });
  }

  return {
    async take(tokenHash, answer, ask) {
      let lease: Lease | undefined;
      try {
        lease = await acquire(tokenHash);
      } catch {
        // The store is away: each process on its own.
        return ask();
      }
      if (!lease) {
        // Whose turn it is may have failed, and told of it, before it was known here that it has the turn.
        if (hasFailed(tokenHash)) throw unavailable(laterMs);
        return wait(tokenHash, answer);
      }
      const known = answer();
      if (known === undefined) return askInTurn(tokenHash, lease, ask);
      await lease.release().catch(() => {});
      return known;
    },
    async takeIfFree(tokenHash, ask) {
      const lease = await acquire(tokenHash);
      return lease && askInTurn(tokenHash, lease, ask);
    },
    told() {
      if (waiting.size === 0 || looking) return;
      // Once for all that is told in this turn: a sync tells of thousands.
      looking = true;
      setImmediate(() => {
        looking = false;
        for (const waiters of waiting.values()) for (const waiter of waiters) waiter.look();
      });
    },
    close: unsubscribe,
  };
}

interface Waiter {
  look(): void;
  fail(error: Error): void;
}

function unavailable(retryAfterMs: number): UnavailableError {
  return new UnavailableError("SOURCE_UNAVAILABLE", "the token's source cannot be asked", retryAfterMs);
}
