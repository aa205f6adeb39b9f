// What a caller asks for, as it comes from either edge.

import type { JsonObject } from "./lib/json.js";
import type { ApiPath } from "./providers/provider.js";
import type { CompleteRequest } from "./providers/typed.js";
import type { EmbedAsk } from "./relay-embed-plan.js";
import type { UpstreamRequest } from "./upstream/upstream.js";

/** What the caller sent. */
export type Ask = NativeAsk | TypedAsk | CountAsk | EmbedAsk;

/** A provider's own body, for a fixed upstream. */
export interface NativeAsk {
  readonly kind: "native";
  readonly upstream: string;
  /** Names of the APIs that the body may be for: it is for the first that takes such a body. */
  readonly apis: readonly string[];
  /** The path that was called, and the model that it named; undefined: the body says all. */
  readonly called: { readonly at: ApiPath; readonly model: string | undefined } | undefined;
  readonly body: JsonObject;
  /** The caller's headers, lower case: those that the API passes on are used. */
  readonly headers: UpstreamRequest["headers"];
  /** Identifies the end user to the provider; undefined leaves what the body says. */
  readonly endUser: string | undefined;
  /** Set on the routes of existing Sourcegraph instances (`Rewrite.sourcegraph`). */
  readonly sourcegraph: { readonly maxTokens: number } | undefined;
}

/** A provider-neutral request, translated once it is known where it goes. */
export interface TypedAsk {
  readonly kind: "typed";
  readonly request: CompleteRequest;
  readonly stream: boolean;
  /** Who of the actor's users asks, as the caller says; may be empty. */
  readonly endUser: string;
}

/** The input tokens of a provider-neutral request, counted. */
export interface CountAsk {
  readonly kind: "count";
  readonly request: CompleteRequest;
}
