import { randomUUID } from "node:crypto";

/** Beginning of all ids of this process. */
const ofProcess = randomUUID().slice(-12);
let last = 0;

/** An id that nothing else has, in any process. Not secret, and not hard to guess. */
export function uniqueId(): string {
  return `${ofProcess}-${(++last).toString(36)}`;
}
