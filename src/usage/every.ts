/** Work that is done again and again. */
export interface Repetition {
  /** Does it now, unless it is being done. */
  now(): void;
  stop(): void;
}

/** Does `work` again and again, never twice at once. What fails is tried with the next turn. */
export function every(ms: number, work: () => Promise<void>): Repetition {
  let busy = false;
  let stopped = false;
  async function turn(): Promise<void> {
    if (busy || stopped) return;
    busy = true;
    await work().catch(() => undefined);
    busy = false;
  }
  const timer = setInterval(() => void turn(), ms).unref();
  return {
    now: () => void turn(),
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}
