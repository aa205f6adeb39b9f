// The checks of a request's prompt. After its limits, so that nobody who has used them up has prompts checked.

import type { Guard } from "./guard/guard.js";
import { scanJsonObject } from "./lib/json.js";
import type { RelayRequest } from "./relay.js";
import type { Plan } from "./relay-plan.js";
import type { FlaggedEvent } from "./usage/event.js";

export interface Checks {
  readonly guard: Guard;
}

/** Undefined: it is not flagged. Throws `UnavailableError` where that cannot be told. */
export async function check(
  { guard }: Checks,
  request: RelayRequest,
  { route, upstream, asked }: Plan,
): Promise<FlaggedEvent | undefined> {
  const { api } = upstream;
  // What is only counted or turned into numbers makes no answer.
  const look = api.free || request.feature === "embeddings" ? undefined : guard.checkOf(route.upstream);
  if (!look) return undefined;
  // As it is sent: what was moved or renamed on the way is looked at where it is then.
  const sent = scanJsonObject(upstream.body);
  const { maxOutputTokens } = api.read(sent, {});
  const verdict = await look({ models: [asked, route.model], maxOutputTokens, prompt: () => api.prompt(sent) });
  return verdict;
}
