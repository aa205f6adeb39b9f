import { type ChangeReader, type ChangeReaderParts, createChangeReader } from "./redis-reader.js";
import type { StoreListener, StoreRecord } from "./store.js";

/** Follows the changes in Redis for as long as the process lives, whatever happens to Redis. */
export interface Follower {
  /** Resolves when all there is was told, or when Redis did not answer for a second. Called once. */
  start(listener: StoreListener): Promise<void>;
  /** There may be changes: reads now. */
  wake(): void;
  /**
   * Makes sure that the listener was told of `records`, which are the last changes up to this number: waits until it is their
   * turn, or tells of them when changes cannot be read.
   */
  told(records: readonly StoreRecord[], upTo: number): Promise<void>;
  stop(): Promise<void>;
}

export interface FollowerParts extends Pick<ChangeReaderParts, "run" | "expireArgs" | "restore"> {
  /** Redis is away, or something is wrong with the data. */
  readonly onProblem: (error: unknown) => void;
}

/** Time between two readings when nobody says that there are changes: messages may be lost. */
const pollMs = 400;
/** The same while Redis is away. */
const retryMs = 100;
/** How long the first telling is waited for while Redis does not answer. */
const startMs = 1_000;

export function createFollower({ onProblem, ...parts }: FollowerParts): Follower {
  const nap = createNap();
  const stopping = new AbortController();
  const waiters = createWaiters();
  let reader: ChangeReader | undefined;
  let listener: StoreListener | undefined;
  let up: boolean | undefined;
  let following: Promise<void> = Promise.resolve();

  function setUp(next: boolean): void {
    if (up !== next) listener?.connected(next);
    up = next;
  }

  /** Whether all was told there is to tell. */
  async function catchUp(from: ChangeReader): Promise<boolean> {
    try {
      return await from.catchUp();
    } catch (error) {
      onProblem(error);
      return false;
    }
  }

  async function follow(from: ChangeReader, onLoaded: () => void): Promise<void> {
    while (!stopping.signal.aborted) {
      const caughtUp = await catchUp(from);
      setUp(caughtUp);
      if (caughtUp) onLoaded();
      else waiters.release(false);
      await nap.take(caughtUp ? pollMs : retryMs);
    }
  }

  function start(given: StoreListener): Promise<void> {
    listener = given;
    const onTold = (event: "changes" | "everything"): void => {
      // Everything may be of another past than the one that the waiters wrote to, with numbers it has not come to.
      waiters.release(true, event === "changes" ? reader?.position() : Infinity);
    };
    const from = createChangeReader({ ...parts, listener, onTold });
    reader = from;
    return new Promise((resolve) => {
      const since = performance.now();
      // While it is being told, however long that takes, it is waited for.
      const looking = setInterval(() => {
        if (stopping.signal.aborted || (up === false && performance.now() - since > startMs)) onLoaded();
      }, 50);
      const onLoaded = (): void => {
        clearInterval(looking);
        resolve();
      };
      following = follow(from, onLoaded);
    });
  }

  return {
    start,
    wake: nap.end,
    async told(records, upTo) {
      if (reader === undefined || records.length === 0) return;
      nap.end();
      const soon = up !== false && !stopping.signal.aborted;
      const wasTold = soon && (reader.position() >= upTo || (await waiters.wait(upTo)));
      if (!wasTold) listener?.changed(records);
    },
    async stop() {
      stopping.abort();
      nap.end();
      waiters.release(false);
      await following;
    },
  };
}

/** Those who wait for a change to be told. */
function createWaiters() {
  let waiters: { readonly upTo: number; readonly resolve: (wasTold: boolean) => void }[] = [];
  return {
    wait: (upTo: number) => new Promise<boolean>((resolve) => void waiters.push({ upTo, resolve })),
    release(wasTold: boolean, upTo = Infinity): void {
      const released = waiters.filter((waiter) => waiter.upTo <= upTo);
      waiters = waiters.filter((waiter) => waiter.upTo > upTo);
      for (const { resolve } of released) resolve(wasTold);
    },
  };
}

/** Waiting that can be cut short, also before it began. */
function createNap() {
  let finish: (() => void) | undefined;
  let isCut = false;
  return {
    end(): void {
      isCut = true;
      finish?.();
    },
    take(ms: number): Promise<void> {
      return new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          finish = undefined;
          isCut = false;
          resolve();
        };
        const timer = setTimeout(done, ms).unref();
        finish = done;
        if (isCut) done();
      });
    },
  };
}
