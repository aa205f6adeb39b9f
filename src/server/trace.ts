// Which trace a request belongs to: https://www.w3.org/TR/trace-context/

import { randomFillSync } from "node:crypto";

/** A request's place in a trace, in lower-case hex. */
export interface Trace {
  /** The caller's own where it sent one, else a new one: 32 digits. */
  readonly traceId: string;
  /** This request's own: 16 digits. */
  readonly spanId: string;
}

// Later versions may have more behind a further dash; what this one knows of them stays the same.
const form = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|(?=(-)))/;

/** The trace that `traceparent` names, or a new one where there is none in it that can be read. */
export function traceOf(traceparent: string | string[] | undefined): Trace {
  const fresh = random();
  const traceId = typeof traceparent === "string" ? named(traceparent) : undefined;
  return { traceId: traceId ?? fresh.slice(0, traceDigits), spanId: fresh.slice(traceDigits) };
}

function named(traceparent: string): string | undefined {
  const [, version, traceId, more] = form.exec(traceparent) ?? [];
  return version === "00" && more !== undefined ? undefined : traceId;
}

const traceDigits = 32;
const digits = traceDigits + 16;
// Random bytes cost little by the thousand, and much by the dozen.
const bytes = Buffer.allocUnsafe((digits / 2) * 256);
let pool = "";
let used = Number.POSITIVE_INFINITY;

function random(): string {
  if (used >= pool.length) {
    pool = randomFillSync(bytes).toString("hex");
    used = 0;
  }
  used += digits;
  return pool.slice(used - digits, used);
}
