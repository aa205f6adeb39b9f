import { randomFillSync } from "node:crypto";

/** Random bytes cost little by the thousand, and much by the dozen. */
const idsAtOnce = 256;

/** Makes ids of so many random digits, in lower-case hex; an even number. */
export function createHexIds(digits: number): () => string {
  const bytes = Buffer.allocUnsafe((digits / 2) * idsAtOnce);
  let pool = "";
  let used = Number.POSITIVE_INFINITY;
  return () => {
    if (used >= pool.length) {
      pool = randomFillSync(bytes).toString("hex");
      used = 0;
    }
    used += digits;
    return pool.slice(used - digits, used);
  };
}
