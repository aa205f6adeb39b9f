// What a request used: as its upstream reported it, and where it did not, as it is counted here. Streams that broke off, or that
// their callers left, have rarely told it.

import { scanJsonObject } from "./lib/json.js";
import { within } from "./lib/within.js";
import type { Tokenizer } from "./models/tokenizer.js";
import { estimateTokens } from "./models/tokens.js";
import type { Said } from "./providers/output.js";
import type { Amounts } from "./quota/quota.js";
import { type Plan, priceOf } from "./relay-plan.js";
import type { Exchange, UpstreamRequest } from "./upstream/upstream.js";

/** The caller's slot and the end of its answer wait for the count: then its length has to do. */
const countMs = 300;
/** Longer texts are counted by their beginning. */
const countedCharacters = 128 * 1024;

/** `exchange`, whose request is charged, with all of its usage; some of it may be the gateway's own count. */
export function withUsage(
  tokenizer: Pick<Tokenizer, "count">,
  plan: Plan,
  exchange: Exchange,
): Exchange | Promise<Exchange> {
  const { usage, output } = exchange;
  const { inputTokens, outputTokens } = usage;
  if (inputTokens !== undefined && outputTokens !== undefined) return exchange;
  // What costs nothing, and what is no text.
  if (plan.quota === undefined || (outputTokens === undefined && output === undefined)) return exchange;
  return counted(tokenizer, plan.upstream, exchange);
}

async function counted(
  tokenizer: Pick<Tokenizer, "count">,
  request: UpstreamRequest,
  exchange: Exchange,
): Promise<Exchange> {
  const { usage, output } = exchange;
  const [inputTokens, outputTokens] = await Promise.all([
    usage.inputTokens ?? countSaid(tokenizer, { text: promptOf(request), times: 1 }),
    usage.outputTokens ?? countSaid(tokenizer, output?.said() ?? nothing),
  ]);
  return { ...exchange, output: undefined, usage: { ...usage, inputTokens, outputTokens, estimated: true } };
}

const nothing: Said = { text: "", times: 1 };

/** Of what was sent: an upstream counts what it sees. */
function promptOf({ api, body }: UpstreamRequest): string {
  try {
    return api.prompt(scanJsonObject(body));
  } catch {
    // The answer is there, and is not lost for it.
    return body.toString("utf8");
  }
}

async function countSaid(tokenizer: Pick<Tokenizer, "count">, { text, times }: Said): Promise<number> {
  if (text === "") return 0;
  const part = text.slice(0, countedCharacters);
  const tokens = await countSoon(tokenizer, part);
  return Math.round((tokens * times * text.length) / part.length);
}

async function countSoon(tokenizer: Pick<Tokenizer, "count">, text: string): Promise<number> {
  try {
    return await within(countMs, () => tokenizer.count(text));
  } catch {
    // Too many wait to be counted, or it takes too long.
    return estimateTokens(text);
  }
}

/** What is charged. */
export function amounts({ route }: Plan, exchange: Exchange): Amounts {
  const { usage } = exchange;
  const { inputTokens, outputTokens } = usage;
  // Either count missing leaves the total unknown; then what was held is charged.
  const tokens = inputTokens === undefined || outputTokens === undefined ? undefined : inputTokens + outputTokens;
  const whole = exchange.kind === "answered" && !exchange.streamError;
  return { tokens, microdollars: tokens === undefined ? undefined : priceOf(route, usage), partial: !whole };
}
