let secondMs = Number.NaN;
let second = "";

/**
 * `new Date(ms).toISOString()`, for times that come one after another: the second is written once. Several are written for each
 * request. Throws `RangeError` for what is no time.
 */
export function isoTime(ms: number): string {
  const whole = Math.trunc(ms);
  const fraction = whole % 1000;
  // Years before 1970, of which nobody writes.
  if (!(fraction >= 0)) return new Date(ms).toISOString();
  if (whole - fraction !== secondMs) {
    second = new Date(whole).toISOString().slice(0, -4);
    secondMs = whole - fraction;
  }
  return `${second}${fraction < 10 ? "00" : fraction < 100 ? "0" : ""}${fraction}Z`;
}
