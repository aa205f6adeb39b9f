// Server-sent events by their bytes.

import { CR, LF } from "../lib/line-ends.js";

/** Whether the bytes are one line and the empty one that ends its event: what most upstreams send for each token. */
export function isOneEvent(bytes: Buffer): boolean {
  const end = bytes.length - 2;
  return bytes[end] === LF && bytes[end + 1] === LF && end > 0 && bytes.indexOf(LF) === end && bytes.indexOf(CR) < 0;
}
