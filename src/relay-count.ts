// Counting the input tokens of a typed request: by the provider where it can, else here. Both take the route of all requests,
// and neither is charged.

import { InvalidRequestError } from "./errors.js";
import { scanJsonObject } from "./lib/json.js";
import type { Tokenizer } from "./models/tokenizer.js";
import type { CompleteRequest, Part } from "./providers/typed.js";
import { type RelayParts, relay } from "./relay.js";
import type { CountAsk } from "./relay-ask.js";
import { createAnswer, type TypedCall } from "./relay-typed.js";
import type { Exchange, Reply, UpstreamRequest } from "./upstream/upstream.js";

/** A count under way. */
export interface CountCall extends TypedCall {
  readonly ask: CountAsk;
}

export interface Count {
  readonly inputTokens: number;
  /** True for the gateway's own count. */
  readonly estimated: boolean;
  /** Gateway name of the model that was asked about. */
  readonly model: string;
}

/** Throws a `GatewayError`. */
export async function relayCount(parts: RelayParts & { tokenizer: Tokenizer }, call: CountCall): Promise<Count> {
  const { upstreams, tokenizer } = parts;
  let own: number | undefined;
  let told: number | undefined;
  const counting: RelayParts = {
    ...parts,
    upstreams: {
      ...upstreams,
      async send(request, reply, onReached) {
        if (request.api.count) return upstreams.send(request, reply, onReached);
        own = await countHere(tokenizer, request, call.ask.request);
        return countedHere(reply);
      },
    },
    // Where it is counted here, no upstream has answered.
    emit: (event, end) => parts.emit(own === undefined ? event : { ...event, upstreamStatus: undefined }, end),
  };
  const answer = createAnswer(parts, call, {
    data(body) {
      const count = answer.provider().apis.find((api) => api.count)?.count;
      if (own === undefined) told = count?.decode(JSON.parse(body.toString("utf8")));
    },
  });
  await relay(counting, call, answer.reply);
  answer.check();
  return { inputTokens: own ?? told ?? 0, estimated: own !== undefined, model: answer.charged().model };
}

/** What begins and ends a message, in tokens; what begins the answer. */
const tokensPerMessage = 4;
const tokensForAnswer = 3;
/** A picture of a square of 1024 pixels, in OpenAI's tiles. */
const tokensPerImage = 765;

async function countHere(
  tokenizer: Tokenizer,
  { api, body }: UpstreamRequest,
  asked: CompleteRequest,
): Promise<number> {
  const { input } = asked;
  const messages = input.case === "chat" ? input.value.messages : [];
  const parts = messages.flatMap((message, index) =>
    message.parts.flatMap((part, at) => withInner(part, `chat.messages[${index}].parts[${at}]`)),
  );
  for (const { part, path } of parts)
    if (part.kind.case === "document")
      throw new InvalidRequestError(`${path}: tokens of documents cannot be counted`, path, "CAPABILITY_MISSING");
  const images = parts.filter(({ part }) => part.kind.case === "image").length;
  const text = api.prompt(scanJsonObject(body));
  const around = messages.length === 0 ? 0 : messages.length * tokensPerMessage + tokensForAnswer;
  return (await tokenizer.count(text)) + around + images * tokensPerImage;
}

function withInner(part: Part, path: string): { readonly part: Part; readonly path: string }[] {
  const inner = part.kind.case === "toolResult" ? part.kind.value.parts : [];
  return [{ part, path }, ...inner.map((each, index) => ({ part: each, path: `${path}.tool_result.parts[${index}]` }))];
}

function countedHere(reply: Reply): Exchange {
  reply.whole(200, [], Buffer.alloc(0));
  return { kind: "answered", streamError: false, usage: {}, status: 200, upstreamMs: 0, firstByteMs: undefined };
}
