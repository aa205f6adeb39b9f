/** What stands before a message in all protocols alike: a byte of flags and four of its length. */
export const prefixBytes = 5;

/** Messages as they follow each other in a body, none of them compressed. */
export function inEnvelopes(messages: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.allocUnsafe(messages.reduce((sum, { length }) => sum + prefixBytes + length, 0));
  let at = 0;
  for (const message of messages) {
    bytes[at] = 0;
    bytes.writeUInt32BE(message.length, at + 1);
    bytes.set(message, at + prefixBytes);
    at += prefixBytes + message.length;
  }
  return bytes;
}
