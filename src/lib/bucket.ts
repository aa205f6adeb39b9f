/** Permits that come back at a rate. */
export interface Bucket {
  /** Takes one; false when none is left. */
  take(): boolean;
}

/** Begins full. `now` in ms, never goes back. */
export function createBucket(
  now: () => number,
  options: { readonly perSecond: number; readonly burst: number },
): Bucket {
  const { perSecond, burst } = options;
  let level = burst;
  let at = now();
  return {
    take() {
      const time = now();
      level = Math.min(burst, level + ((time - at) * perSecond) / 1_000);
      at = time;
      if (level < 1) return false;
      level--;
      return true;
    },
  };
}
