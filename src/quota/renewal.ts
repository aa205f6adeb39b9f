import { createShortLivedSet, type Placed } from "../lib/short-lived.js";
import type { QuotaStore, Renewal } from "./store.js";

/** A live hold of this process. `reached` is set by its owner. */
export type LiveHold = { -readonly [K in keyof Renewal]: Renewal[K] } & Placed;

/** Keeps the holds of this process alive. */
export interface Renewals {
  readonly size: number;
  add(hold: LiveHold): void;
  /** Stops renewing: the hold was settled. */
  remove(hold: LiveHold): void;
  /** The hold's upstream was reached: tells the store soon, or never, when it is settled before. */
  reached(hold: LiveHold): void;
  close(): void;
}

export interface RenewalOptions {
  /** Time between renewals, well below a lease's length. Default 10 s. */
  readonly renewMs?: number;
  /** Time until the next attempt after one that failed. Default 1 s. */
  readonly retryMs?: number;
  /**
   * How long telling the store that upstreams were reached may wait for more to tell. Short requests are over by then and
   * cost nothing. A process that dies within it leaves a hold that is refunded. Default 25 ms.
   */
  readonly reachedMs?: number;
}

/** Holds renewed in one call: what a store does at once must not keep others waiting. */
const batchSize = 500;

/** One timer renews all holds. */
export function createRenewals(
  { store }: { store: Pick<QuotaStore, "renew"> },
  { renewMs = 10_000, retryMs = 1_000, reachedMs = 25 }: RenewalOptions = {},
): Renewals {
  const live = createShortLivedSet<LiveHold>();
  let justReached: LiveHold[] = [];
  let renewing = setTimeout(() => void renewAll(), renewMs).unref();
  let telling: NodeJS.Timeout | undefined;
  let closed = false;

  /** Whether the store was told of all. */
  async function renew(holds: readonly LiveHold[]): Promise<boolean> {
    try {
      for (let from = 0; from < holds.length; from += batchSize) {
        const batch = holds.slice(from, from + batchSize).filter((hold) => live.has(hold));
        if (batch.length > 0)
          await store.renew(batch.map(({ requestId, actor, reached }) => ({ requestId, actor, reached })));
      }
      return true;
    } catch {
      return false;
    }
  }

  async function renewAll(): Promise<void> {
    const done = await renew([...live]);
    if (!closed) renewing = setTimeout(() => void renewAll(), done ? renewMs : retryMs).unref();
  }

  async function tell(): Promise<void> {
    telling = undefined;
    const holds = justReached;
    justReached = [];
    // What could not be told is told with the next renewal.
    await renew(holds);
  }

  return {
    get size() {
      return live.size;
    },
    add(hold) {
      live.add(hold);
    },
    remove(hold) {
      live.delete(hold);
    },
    reached(hold) {
      if (hold.reached) return;
      hold.reached = true;
      justReached.push(hold);
      telling ??= setTimeout(() => void tell(), reachedMs).unref();
    },
    close() {
      closed = true;
      clearTimeout(renewing);
      clearTimeout(telling);
    },
  };
}
