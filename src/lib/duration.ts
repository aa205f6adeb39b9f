const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5
  μs: 1e-3, // U+03BC
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

// The longer names first: `ms` is no `m`.
const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d)/y;

/**
 * Milliseconds of a duration as Go writes them (`250ms`, `24h0m0s`, `1.5h`), with days (`30d`) besides. Undefined for
 * anything else, and for negative ones: no setting is a negative time.
 */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  let ms = 0;
  part.lastIndex = 0;
  for (let at = 0; at < text.length; at = part.lastIndex) {
    const match = part.exec(text);
    if (!match) return undefined;
    ms += Number(match[1]) * (unitMs[match[2] as string] as number);
  }
  return text.length > 0 && Number.isSafeInteger(Math.round(ms)) ? ms : undefined;
}

/** As Go's `time.Duration` prints itself: `24h0m0s`, `1m30s`, `1.5s`, `250ms`, `0s`. To the millisecond. */
export function formatGoDuration(ms: number): string {
  const whole = Math.round(ms);
  if (whole < 0) return `-${formatGoDuration(-whole)}`;
  if (whole > 0 && whole < 1_000) return `${whole}ms`;
  const hours = Math.floor(whole / 3_600_000);
  const minutes = Math.floor((whole % 3_600_000) / 60_000);
  const seconds = `${(whole % 60_000) / 1_000}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}
