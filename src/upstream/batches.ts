// Embeddings requests on their way to the upstream: cut into calls that it takes, put together again, their tokens counted
// where it does not say. To the route they are one exchange.

import { UpstreamError } from "../errors.js";
import type { Tokenizer } from "../models/tokenizer.js";
import { estimateTokens } from "../models/tokens.js";
import type { CallLimits, EmbeddingsApi, NativeVectors } from "../providers/embeddings.js";
import type { CountedUsage } from "../providers/provider.js";
import { type Slice, sliceInputs } from "./slices.js";
import type { Batch, Exchange, Reply, UpstreamRequest, Upstreams } from "./upstream.js";

/** Calls of one request that are under way at the same time. */
const concurrency = 4;
/** Most bytes of all answers to one request. */
const maxBytes = 256 * 1024 * 1024;

/** The header that tells how many tokens were charged; existing clients of the gateway know it. */
export const tokensHeader = "x-token-usage";

export interface BatchParts {
  readonly upstreams: Upstreams;
  readonly tokenizer: Pick<Tokenizer, "count">;
  /** How much an upstream takes in one call, where that is configured. */
  readonly limitsOf: (upstream: string) => Partial<CallLimits>;
}

/** Sends what is a batch in as many calls as it takes, and everything else as it is. */
export function createBatches(parts: BatchParts): Upstreams {
  const { upstreams } = parts;
  return {
    ...upstreams,
    send(request, reply, onReached) {
      const { batch } = request;
      return batch ? sendBatch(parts, { request, batch, reply, onReached }) : upstreams.send(request, reply, onReached);
    },
  };
}

interface Sending {
  readonly request: UpstreamRequest;
  readonly batch: Batch;
  readonly reply: Reply;
  readonly onReached: () => void;
}

/** A whole answer, as the upstream gave it. */
interface Whole {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** How one call ended, with its answer where there is one. */
interface Called {
  readonly exchange: Exchange;
  readonly whole: Whole | undefined;
  readonly vectors: NativeVectors | undefined;
}

async function sendBatch(parts: BatchParts, sending: Sending): Promise<Exchange> {
  const { request, batch, reply } = sending;
  const { divide, compose } = batch;
  const startedAt = performance.now();
  const slices = divide
    ? sliceInputs(divide.inputs, { ...divide.api.limits, ...parts.limitsOf(request.upstream) })
    : [undivided];
  // An answer that nobody has to change is passed on as it is.
  const asItIs = slices.length === 1 && compose === undefined;
  const calls = await callAll(parts, sending, asItIs ? undefined : divide?.api, slices);

  const failed = calls.find(({ exchange }) => !isGood(exchange));
  if (failed?.whole) reply.whole(failed.whole.status, failed.whole.headers, failed.whole.body);
  if (failed) return { ...failed.exchange, upstreamMs: performance.now() - startedAt };

  const [first] = calls as [Called, ...Called[]];
  const usage = await usageOf(parts, batch, calls);
  const upstreamMs = performance.now() - startedAt;
  const told = [tokensHeader, String(usage.inputTokens)];
  const exchange = { ...first.exchange, usage, upstreamMs };
  if (asItIs) {
    if (!first.whole) return failedAs(exchange, unreadable(request, "upstream streamed what is no stream"));
    reply.whole(first.whole.status, [...first.whole.headers, ...told], first.whole.body);
    return exchange;
  }
  try {
    const vectors = calls.flatMap((call) => call.vectors?.vectors ?? []);
    const write = compose ?? divide?.api.write;
    const composed = await write?.({ vectors, model: first.vectors?.model }, usage.inputTokens ?? 0);
    const body = composed ?? Buffer.alloc(0);
    reply.whole(200, ["content-type", "application/json", ...told], body);
    return exchange;
  } catch (cause) {
    return failedAs(exchange, unreadable(request, "upstream sent an answer that cannot be read", cause));
  }
}

const undivided: Slice = { start: 0, end: 1 };

/**
 * Makes the calls, a few at a time, and returns them in their order. The first that fails ends all others and is returned
 * alone; so does a caller who leaves.
 */
async function callAll(
  parts: BatchParts,
  sending: Sending,
  read: EmbeddingsApi | undefined,
  slices: readonly Slice[],
): Promise<readonly Called[]> {
  const { request, reply, onReached } = sending;
  const calls: Called[] = [];
  const stops = new Set<() => void>();
  let failed: Called | undefined;
  let bytes = 0;
  let next = 0;
  let left = false;
  let reached = false;
  const stop = (): void => {
    for (const each of stops) each();
  };
  reply.onGone(() => {
    left = true;
    stop();
  });
  const once = (): void => {
    if (!reached) onReached();
    reached = true;
  };

  const work = async (): Promise<void> => {
    while (failed === undefined && next < slices.length) {
      const at = next++;
      const slice = slices[at] as Slice;
      const sent = { ...request, body: bodyOf(sending, slices, slice) };
      const call = await callOne(parts, sent, { read, inputs: slice.end - slice.start, stops, left: () => left, once });
      bytes += call.whole?.body.length ?? 0;
      const judged =
        bytes > maxBytes ? { ...call, whole: undefined, exchange: failedAs(call.exchange, rejected(request)) } : call;
      calls[at] = judged;
      if (isGood(judged.exchange) || failed) continue;
      failed = judged;
      stop();
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, slices.length) }, work));
  return failed ? [failed] : calls;
}

function bodyOf({ request, batch }: Sending, slices: readonly Slice[], { start, end }: Slice): Buffer {
  const { divide } = batch;
  if (slices.length === 1 || !divide) return request.body;
  return divide.api.withInputs(divide.body, divide.inputs.slice(start, end));
}

interface CallOptions {
  /** Reads the answer's vectors; undefined: nobody needs them. */
  readonly read: EmbeddingsApi | undefined;
  readonly inputs: number;
  /** What ends the calls under way. */
  readonly stops: Set<() => void>;
  readonly left: () => boolean;
  readonly once: () => void;
}

async function callOne({ upstreams }: BatchParts, request: UpstreamRequest, options: CallOptions): Promise<Called> {
  const { read, inputs, stops, left, once } = options;
  let answer: Whole | undefined;
  let leave: (() => void) | undefined;
  const reply: Reply = {
    // No API of embeddings streams: what comes as one is no answer.
    start: () => undefined,
    write: () => true,
    onDrain: () => undefined,
    whole(status, headers, body) {
      answer = { status, headers, body };
    },
    onGone(listener) {
      if (left()) return listener();
      leave = listener;
      stops.add(listener);
    },
  };
  let exchange = await upstreams.send(request, reply, once);
  // Of this call alone: what the others were answered is paid for.
  if (exchange.kind === "failed" && exchange.again === "here")
    exchange = await upstreams.send({ ...request, repeated: true }, reply, once);
  if (leave) stops.delete(leave);
  if (!isGood(exchange) || !read) return { exchange, whole: answer, vectors: undefined };
  try {
    if (!answer) throw new Error("no whole answer");
    // As it comes, so that not all of them have to be read at once.
    return { exchange, whole: answer, vectors: read.read(answer.body, inputs) };
  } catch (cause) {
    const error = unreadable(request, "upstream sent an answer that cannot be read", cause);
    return { exchange: failedAs(exchange, error), whole: undefined, vectors: undefined };
  }
}

/** The sum of what the calls report, counted here where one of them does not. */
async function usageOf({ tokenizer }: BatchParts, batch: Batch, calls: readonly Called[]): Promise<CountedUsage> {
  const counts = calls.map(({ exchange }) => exchange.usage.inputTokens);
  if (counts.every((tokens) => tokens !== undefined))
    return { inputTokens: counts.reduce((sum, tokens) => sum + tokens, 0), outputTokens: 0 };
  return { inputTokens: await count(tokenizer, batch.texts()), outputTokens: 0, estimated: true };
}

async function count(tokenizer: BatchParts["tokenizer"], texts: readonly string[]): Promise<number> {
  try {
    return await tokenizer.count(texts);
  } catch {
    // Too many wait to be counted. The answer is there, and is not lost for it.
    return texts.reduce((sum, text) => sum + estimateTokens(text), 0);
  }
}

function isGood(exchange: Exchange): boolean {
  return exchange.kind === "answered" && exchange.status !== undefined && exchange.status < 300;
}

function failedAs({ usage, status, upstreamMs, firstByteMs }: Exchange, error: UpstreamError): Exchange {
  return {
    kind: "failed",
    error,
    started: false,
    again: undefined,
    tried: true,
    usage,
    status,
    upstreamMs,
    firstByteMs,
  };
}

function unreadable({ upstream }: UpstreamRequest, message: string, cause?: unknown): UpstreamError {
  return new UpstreamError("UPSTREAM_INTERRUPTED", message, { upstream, ...(cause !== undefined && { cause }) });
}

function rejected({ upstream }: UpstreamRequest): UpstreamError {
  return new UpstreamError("UPSTREAM_REJECTED", "upstream answer is too large", { upstream });
}
