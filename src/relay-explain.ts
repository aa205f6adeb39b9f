// Whether a request would be let in, and why: the decisions of the route, taken without holding anything.

import type { Actor, EndUser, Feature } from "./actors/actor.js";
import type { Sources } from "./actors/sources.js";
import { AccessDisabledError, FeatureNotGrantedError, GatewayError, ModelNotAllowedError } from "./errors.js";
import type { Catalogue, Route } from "./models/catalogue.js";
import type { ExplainedLimit, Quota } from "./quota/quota.js";

/** What would be asked. */
export interface AccessQuestion {
  /** Who asks: an actor, or whoever holds a token. */
  readonly caller: { readonly actor: Actor } | { readonly token: string };
  /** Which of the actor's users asks; nothing in it: that is not said. */
  readonly endUser: EndUser;
  readonly feature: Feature;
  /** Gateway model name; undefined: the model is not looked at, nor limits of certain models. */
  readonly model: string | undefined;
  /** Units that the request would hold of limits in tokens and in money. */
  readonly tokens: number;
  readonly microdollars: number;
}

/** One rule that was looked at; `refusal` is what the request would be told if this were the first that fails. */
export type AccessCheck = { readonly refusal: GatewayError | undefined } & (
  | { readonly kind: "token" | "access" | "feature" }
  /** `route`: where the request would go; undefined where that is decided for each request, or nothing is allowed. */
  | { readonly kind: "model"; readonly route: Route | undefined }
  | ({ readonly kind: "limit" } & ExplainedLimit)
);

export interface AccessAnswer {
  /** What the request would be told; undefined: it would be let in. */
  readonly refusal: GatewayError | undefined;
  readonly actor: Actor | undefined;
  /** In the order of the route; the first that fails decides. */
  readonly checks: readonly AccessCheck[];
}

export interface Explainer {
  readonly sources: Pick<Sources, "find">;
  readonly catalogue: Catalogue;
  /** The models that make embeddings. */
  readonly embeddings: Catalogue;
  readonly quota: Pick<Quota, "explain">;
}

/** Throws only what is no answer: `UnavailableError` when the store of limits is away. */
export async function explainAccess(parts: Explainer, question: AccessQuestion): Promise<AccessAnswer> {
  const checks: AccessCheck[] = [];
  const answer = (actor: Actor | undefined): AccessAnswer => ({
    refusal: checks.find(({ refusal }) => refusal !== undefined)?.refusal,
    actor,
    checks,
  });

  const found = await callerOf(parts, question.caller);
  if ("token" in question.caller) checks.push({ kind: "token", refusal: found.refusal });
  const { actor } = found;
  if (!actor) return answer(undefined);

  checks.push({ kind: "access", refusal: actor.accessEnabled ? undefined : new AccessDisabledError(actor) });
  const access = actor.features[question.feature];
  checks.push({ kind: "feature", refusal: access ? undefined : new FeatureNotGrantedError(question.feature) });
  if (!access) return answer(actor);

  const { model } = question;
  const catalogue = question.feature === "embeddings" ? parts.embeddings : parts.catalogue;
  const resolved = model === undefined ? undefined : resolve(catalogue, model, access.models);
  if (resolved) checks.push({ kind: "model", route: resolved.route, refusal: resolved.refusal });
  if (resolved?.refusal || !actor.accessEnabled) return answer(actor);

  const { limits, refusal } = await parts.quota.explain({
    actor,
    endUser: question.endUser,
    feature: question.feature,
    model: resolved?.name ?? "",
    estimate: () => ({ promptTokens: question.tokens, maxOutputTokens: 0 }),
    price: () => question.microdollars,
  });
  // A limit of nothing is no access to the feature.
  if (limits.length === 0 && refusal) checks.push({ kind: "feature", refusal });
  checks.push(...limits.map((limit) => ({ kind: "limit", ...limit }) as const));
  // Of several limits that are used up, the request is told of the one that takes longest.
  return { refusal, actor, checks };
}

async function callerOf(
  { sources }: Explainer,
  caller: AccessQuestion["caller"],
): Promise<{ readonly actor: Actor | undefined; readonly refusal: GatewayError | undefined }> {
  if ("actor" in caller) return { actor: caller.actor, refusal: undefined };
  try {
    return { actor: await sources.find(caller.token), refusal: undefined };
  } catch (error) {
    if (error instanceof GatewayError) return { actor: undefined, refusal: error };
    throw error;
  }
}

/** Whether the model may be used, and where that leads. `name` is what limits of certain models are held against. */
function resolve(catalogue: Catalogue, model: string, allowed: readonly string[]) {
  try {
    const decision = catalogue.decide({ model, allowed });
    if (decision.kind === "allowed") {
      const { route, certain } = decision;
      return { name: route.name, route: certain ? route : undefined, refusal: undefined };
    }
    return { name: "", route: undefined, refusal: new ModelNotAllowedError(decision.name, decision.entries) };
  } catch (error) {
    if (error instanceof GatewayError) return { name: "", route: undefined, refusal: error };
    throw error;
  }
}
