// The ends of lines in server-sent events, as bytes.

export const LF = 0x0a;
export const CR = 0x0d;

/** Whether the bytes are one line and the empty one that ends its event: what most upstreams send for each token. */
export function isOneEvent(bytes: Buffer): boolean {
  const end = bytes.length - 2;
  return bytes[end] === LF && bytes[end + 1] === LF && end > 0 && bytes.indexOf(LF) === end && bytes.indexOf(CR) < 0;
}
