// The end of the route for embeddings whose caller gets them in a form of its own.

import { type ReceivedRequest, type RelayParts, relay } from "./relay.js";
import type { EmbedAsk } from "./relay-embed-plan.js";
import { type Charged, createAnswer, type TypedCall } from "./relay-typed.js";
import { tokensHeader } from "./upstream/batches.js";

export { type EmbedRequest, vectorsJson } from "./providers/embeddings.js";
export type { EmbedAsk, Embedded } from "./relay-embed-plan.js";

/** Embeddings under way. */
export interface EmbedCall extends ReceivedRequest, Pick<TypedCall, "signal" | "isDeadline"> {
  readonly ask: EmbedAsk;
}

/** What there is to tell of them. */
export interface EmbedAnswer extends Charged {
  /** As `EmbedAsk.write` wrote it. */
  readonly body: Buffer;
  /** Tokens that were charged: as the upstream reports them, else as the gateway counts. */
  readonly tokens: number;
}

/** All of them, or none: throws a `GatewayError`, and what `signal` was aborted with. */
export async function relayEmbed(parts: RelayParts, call: EmbedCall): Promise<EmbedAnswer> {
  let body: Buffer = Buffer.alloc(0);
  const answer = createAnswer(parts, call, { data: (chunk) => (body = chunk) });
  await relay(parts, call, answer.reply);
  answer.check();
  return { body, tokens: Number(answer.header(tokensHeader) ?? 0), ...answer.charged() };
}
