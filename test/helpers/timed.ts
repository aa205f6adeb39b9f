// How long something takes, on machines that have other things to do.

/** How a call ended and how long it took, without what this process itself was late by. */
export interface Timed {
  readonly error: unknown;
  readonly tookMs: number;
}

const lookMs = 5;

export async function timed(call: () => Promise<unknown>): Promise<Timed> {
  const start = performance.now();
  let last = start;
  let lateMs = 0;
  const look = (): void => {
    const now = performance.now();
    lateMs += Math.max(0, now - last - 2 * lookMs);
    last = now;
  };
  const lag = setInterval(look, lookMs);
  const error = await call().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  // What was late by the same may have ended the call before it was looked at.
  look();
  clearInterval(lag);
  return { error, tookMs: Math.max(0, last - start - lateMs) };
}

/** CPU time that `work` takes: also that of a machine which is busy, or stands still in the middle of it. */
export function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}
