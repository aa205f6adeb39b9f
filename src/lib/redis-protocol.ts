// Commands and answers as they are on the wire: https://redis.io/docs/latest/develop/reference/protocol-spec/

/** An answer with its bytes as texts. */
export function textOf(answer: unknown): unknown {
  if (Buffer.isBuffer(answer)) return answer.toString();
  return Array.isArray(answer) ? answer.map(textOf) : answer;
}

/** A command. */
export function encode(name: string, args: readonly string[]): string {
  let text = `*${args.length + 1}${before(name.length)}${name}`;
  for (const arg of args) text += before(Buffer.byteLength(arg)) + arg;
  return `${text}\r\n`;
}

/** What stands before an argument of so many bytes. Made once: of two pieces a text is joined at half the cost of five. */
const known = Array.from({ length: 1_024 }, (_, bytes) => `\r\n$${bytes}\r\n`);

function before(bytes: number): string {
  return known[bytes] ?? `\r\n$${bytes}\r\n`;
}
