import type { QuotaStore, Renewal } from "./store.js";

/** A live hold of this process. `reached` is set by its owner. */
export type LiveHold = { -readonly [K in keyof Renewal]: Renewal[K] };

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
  /** Default 10 s: two may fail before a lease of 30 s ends. */
  readonly renewMs?: number;
  /**
   * How long telling the store that upstreams were reached may wait for more to tell. Short requests are over by then and
   * cost nothing. A process that dies within it leaves a hold that is refunded. Default 25 ms.
   */
  readonly reachedMs?: number;
}

/** Holds renewed in one call: what a store does at once must not keep others waiting. */
const batchSize = 500;

/** One timer renews all holds. A renewal that fails is left to the next one. */
export function createRenewals(
  { store }: { store: Pick<QuotaStore, "renew"> },
  { renewMs = 10_000, reachedMs = 25 }: RenewalOptions = {},
): Renewals {
  const live = new Set<LiveHold>();
  const justReached = new Set<LiveHold>();
  let telling: NodeJS.Timeout | undefined;

  async function renew(holds: readonly LiveHold[]): Promise<void> {
    for (let from = 0; from < holds.length; from += batchSize) {
      const batch = holds.slice(from, from + batchSize).filter((hold) => live.has(hold));
      if (batch.length > 0) await store.renew(batch.map((hold) => ({ ...hold })));
    }
  }

  function renewQuietly(holds: readonly LiveHold[]): void {
    renew(holds).catch(() => undefined);
  }

  function tell(): void {
    telling = undefined;
    const holds = [...justReached];
    justReached.clear();
    renewQuietly(holds);
  }

  const timer = setInterval(() => renewQuietly([...live]), renewMs).unref();

  return {
    get size() {
      return live.size;
    },
    add(hold) {
      live.add(hold);
    },
    remove(hold) {
      live.delete(hold);
      justReached.delete(hold);
    },
    reached(hold) {
      if (hold.reached || !live.has(hold)) return;
      hold.reached = true;
      justReached.add(hold);
      telling ??= setTimeout(tell, reachedMs).unref();
    },
    close() {
      clearInterval(timer);
      clearTimeout(telling);
    },
  };
}
