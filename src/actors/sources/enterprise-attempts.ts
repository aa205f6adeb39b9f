// Calls of the Enterprise Portal, within their time and with one retry.

import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Empty, EmptySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { callFailure } from "../../lib/call-error.js";

/** A listing that comes in parts, with everything in them left undecoded. */
export type ListMethod<Request extends DescMessage> = DescMethodServerStreaming<Request, typeof EmptySchema>;

/** Connections that were closed meanwhile, tokens that were revoked: what a second attempt mends. Calls only read. */
const passing = new Set([Code.Unavailable, Code.Aborted, Code.Canceled, Code.Unauthenticated]);

/** When a call is over, whatever came of it. */
export interface CallLimits {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** The answer to one question. */
export async function call<Request extends DescMessage, Answer extends DescMessage>(
  transport: Transport,
  method: DescMethodUnary<Request, Answer>,
  request: MessageInitShape<Request>,
  limits: CallLimits,
): Promise<MessageShape<Answer>> {
  return twice(limits, async (timeoutMs) => {
    return (await transport.unary(method, limits.signal, timeoutMs, undefined, request)).message;
  });
}

/** Begins a listing: with its first part there, the call stands. */
export async function open<Request extends DescMessage>(
  transport: Transport,
  method: ListMethod<Request>,
  request: MessageInitShape<Request>,
  limits: CallLimits,
): Promise<AsyncIterable<Empty>> {
  return twice(limits, async (timeoutMs) => {
    const answer = await transport.stream(method, limits.signal, timeoutMs, undefined, once(request));
    const parts = answer.message[Symbol.asyncIterator]();
    const first = await parts.next();
    if (first.done) throw new ConnectError("received no message", Code.Internal);
    return resumed(first, parts);
  });
}

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value;
}

async function* resumed<T>(first: IteratorResult<T>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  for (let next = first; !next.done; next = await rest.next()) yield next.value;
}

/** Tries again, once and within the same time, what a second attempt may mend. */
async function twice<T>({ signal, timeoutMs }: CallLimits, attempt: (timeoutMs: number) => Promise<T>): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  const left = (): number => Math.max(1, Math.ceil(deadline - performance.now()));
  try {
    return await attempt(left());
  } catch (error) {
    if (signal.aborted || !isPassing(error)) throw error;
    return attempt(left());
  }
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  const { kind } = callFailure(error.cause);
  return passing.has(error.code) || kind === "unreachable" || kind === "broken";
}
