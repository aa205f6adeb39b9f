/** Work that must still be done although the store is away. */
export interface Retries {
  readonly size: number;
  /** Does `task` soon, and again until it does not reject. */
  add(task: RetryTask): void;
  /** Tries for at most `timeoutMs` more, and stops. Resolves to the number of tasks left that are not minor. */
  close(timeoutMs?: number): Promise<number>;
}

export interface RetryTask {
  run(): Promise<void>;
  /** Time after which it is pointless; undefined: it is done however late. */
  readonly maxAgeMs?: number;
  /** It may be left undone when many wait already. */
  readonly minor?: boolean;
  /** Called when it was given up for its age. */
  readonly onGivenUp?: () => void;
}

interface Waiting {
  readonly task: RetryTask;
  readonly since: number;
}

const firstDelayMs = 100;
const maxDelayMs = 1_000;
/** Tasks done at once when the store is back. */
const batchSize = 50;

/**
 * One queue and one timer for all: each attempt tries a single task, and only when that succeeds the rest, each once. Minor
 * tasks wait only while fewer than `maxWaiting` do.
 */
export function createRetries({ maxWaiting = 10_000 } = {}): Retries {
  let waiting: Waiting[] = [];
  let delayMs = firstDelayMs;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let closed = false;

  function schedule(): void {
    if (closed || running !== undefined || timer !== undefined || waiting.length === 0) return;
    // Spread, so that the processes do not come back all at once.
    timer = setTimeout(() => void attempt(), delayMs * (1 + Math.random() / 4)).unref();
  }

  function attempt(): Promise<void> {
    timer = undefined;
    return (running ??= tryAll());
  }

  async function tryAll(): Promise<void> {
    dropOld();
    const done = await drain();
    delayMs = done ? firstDelayMs : Math.min(delayMs * 2, maxDelayMs);
    running = undefined;
    schedule();
  }

  function dropOld(): void {
    const now = performance.now();
    const isOld = ({ task, since }: Waiting): boolean => now - since >= (task.maxAgeMs ?? Infinity);
    const old = waiting.filter(isOld);
    if (old.length > 0) waiting = waiting.filter((entry) => !isOld(entry));
    for (const { task } of old) task.onGivenUp?.();
  }

  /**
   * Whether nothing failed. What failed goes last, so that it is not in the way of the others: they wait only when the store
   * seems to be away.
   */
  async function drain(): Promise<boolean> {
    let done = true;
    for (let left = waiting.length, size = 1; left > 0; size = batchSize) {
      const batch = waiting.splice(0, Math.min(size, left));
      left -= batch.length;
      const outcomes = await Promise.allSettled(batch.map(({ task }) => task.run()));
      const failed = batch.filter((_, index) => outcomes[index]?.status === "rejected");
      waiting.push(...failed);
      if (failed.length === batch.length) return false;
      done &&= failed.length === 0;
    }
    return done;
  }

  return {
    get size() {
      return waiting.length;
    },
    add(task) {
      if (task.minor && waiting.length >= maxWaiting) return;
      waiting.push({ task, since: performance.now() });
      schedule();
    },
    async close(timeoutMs = 0) {
      closed = true;
      clearTimeout(timer);
      const endAt = performance.now() + timeoutMs;
      while (waiting.length > 0 && performance.now() < endAt) {
        await attempt();
        if (waiting.length > 0) await new Promise((resolve) => setTimeout(resolve, firstDelayMs));
      }
      return waiting.filter(({ task }) => !task.minor).length;
    },
  };
}
