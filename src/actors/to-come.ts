/** The clocks of processes, by what they know of the store's, differ by less. */
const skewMs = 10_000;

/** Whether something that has happened bears a time that is yet to come: the clock was set back since. */
export function isToCome(at: number, now: number): boolean {
  return at > now + skewMs;
}
