// The checks of a request's prompt. After its limits, so that nobody who has used them up has prompts checked.

import type { Actor } from "./actors/actor.js";
import type { FlaggedPrompts } from "./guard/flagged.js";
import type { Guard } from "./guard/guard.js";
import { scanJsonObject } from "./lib/json.js";
import type { RelayRequest } from "./relay.js";
import type { Plan } from "./relay-plan.js";
import type { FlaggedEvent } from "./usage/event.js";

export type { FlaggedPrompts, FlaggedRequest } from "./guard/flagged.js";

export interface Checks {
  readonly guard: Guard;
  /** Keeps flagged prompts; undefined: none is kept. */
  readonly prompts: Pick<FlaggedPrompts, "keep"> | undefined;
  /** Whether prompts of this actor may be kept. */
  readonly keepsOf: (actor: Pick<Actor, "source" | "id">) => boolean;
}

/** Undefined: it is not flagged. Throws `UnavailableError` where that cannot be told. */
export async function check(
  { guard, prompts, keepsOf }: Checks,
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
  const numbered = api.numbered?.(sent) ?? false;
  const models = [asked, route.model];
  const verdict = await look({ models, maxOutputTokens, numbered, prompt: () => api.prompt(sent) });
  if (!verdict || !prompts || request.feature === "code_completions" || !keepsOf(request.actor)) return verdict;
  const { traceId, feature, actor } = request;
  const { reasons, blocked } = verdict;
  const of = { source: actor.source, id: actor.id };
  const flagged = { traceId, feature, actor: of, model: route.name, reasons, blocked };
  return { ...verdict, key: prompts.keep(flagged, api.prompt(sent)) };
}
