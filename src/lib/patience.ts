/** Looks in a row: together the time that is waited. */
const looks = 5;

/**
 * Calls back after so much time, unless it is ended before. Counts looks instead of time: a process that was busy, or stood
 * still together with its machine, goes on with all but one of them, and with what came in meanwhile.
 */
export function startPatience(ms: number, onOver: () => void): { end(): void } {
  let left = looks;
  const timer = setInterval(() => {
    if (--left > 0) return;
    clearInterval(timer);
    onOver();
  }, ms / looks);
  return { end: () => clearInterval(timer) };
}
