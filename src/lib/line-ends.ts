// The ends of lines in server-sent events, as bytes.

export const LF = 0x0a;
export const CR = 0x0d;

/** Whether the byte is one of them; undefined is none. */
export function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR;
}
