// Where code can be found in public: a search of Sourcegraph.com's, for actors of Enterprise subscriptions.

import type { Actor } from "./actors/actor.js";
import {
  InvalidRequestError,
  NotConfiguredError,
  SourceNotAllowedError,
  UnavailableError,
  UpstreamError,
} from "./errors.js";
import { CallError } from "./lib/call-error.js";
import { fieldsOf } from "./lib/fields.js";
import type { GraphqlClient } from "./lib/graphql.js";

/** What is looked for. */
export interface AttributionQuery {
  readonly snippet: string;
  /** Most repositories to name, 1 to `maxRepositories`. */
  readonly limit: number;
}

/** Where it was found. */
export interface Attributed {
  /** Names of repositories; none: it was not found. */
  readonly repositories: readonly string[];
  /** How many have it, as far as the search went. */
  readonly totalCount: number;
  /** The search stopped before its end. */
  readonly limitHit: boolean;
}

export interface Attribution {
  /**
   * Throws `SourceNotAllowedError` for actors of other sources, `NotConfiguredError` where there is no search,
   * `InvalidRequestError`, `UnavailableError` while too many searches are under way, and `UpstreamError` when
   * Sourcegraph.com does not answer. Counts in no limit.
   */
  search(actor: Actor, query: AttributionQuery, signal: AbortSignal): Promise<Attributed>;
  close(): Promise<void>;
}

/** Most repositories that are named. */
export const maxRepositories = 4;
/** Longest snippet, in bytes. */
export const maxSnippetBytes = 1024 * 1024;

/** Searches under way at the same time, of one actor and of all together: they cost the gateway's own account there. */
const maxOfActor = 8;
const maxOfAll = 64;
const busyRetryMs = 2_000;

const upstream = "sourcegraph.com";

const operation = {
  name: "SnippetAttribution",
  query: `query SnippetAttribution($snippet: String!, $first: Int!) {
  snippetAttribution(snippet: $snippet, first: $first) {
    nodes { repositoryName }
    totalCount
    limitHit
  }
}`,
};

/** `graphql` undefined: the search is off. `source` is the one whose actors may use it. */
export function createAttribution(
  { graphql }: { readonly graphql: GraphqlClient | undefined },
  options: { readonly source: string },
): Attribution {
  const underWay = new Map<string, number>();
  let all = 0;

  const count = (actor: string, by: 1 | -1): void => {
    all += by;
    const left = (underWay.get(actor) ?? 0) + by;
    if (left > 0) underWay.set(actor, left);
    else underWay.delete(actor);
  };

  return {
    async search({ id, source }, { snippet, limit }, signal) {
      // Whose the actor is says its source; whether it may use models has nothing to do with it.
      if (source !== options.source) throw new SourceNotAllowedError(source);
      if (!graphql) throw new NotConfiguredError("attribution search not enabled");
      if (snippet === "") throw new InvalidRequestError("snippet must not be empty", "snippet");
      if (Buffer.byteLength(snippet) > maxSnippetBytes)
        throw new InvalidRequestError(`snippet must have at most ${maxSnippetBytes} bytes`, "snippet");
      if (all >= maxOfAll || (underWay.get(id) ?? 0) >= maxOfActor)
        throw new UnavailableError("OVERLOADED", "too many searches are under way", busyRetryMs);
      count(id, 1);
      try {
        return await ask(graphql, { snippet, limit }, signal);
      } finally {
        count(id, -1);
      }
    },
    close: async () => graphql?.close(),
  };
}

async function ask(graphql: GraphqlClient, { snippet, limit }: AttributionQuery, signal: AbortSignal) {
  try {
    const { data, errors } = await graphql.ask(operation, { snippet, first: limit }, signal);
    if (errors.length > 0) throw new CallError("Sourcegraph.com", `answered with an error${inBrackets(errors)}`);
    return attributedIn(data["snippetAttribution"], limit);
  } catch (cause) {
    if (!(cause instanceof CallError)) throw cause;
    const { status } = cause;
    const details = { upstream, cause, ...(status !== undefined && { status }) };
    if (status === 429) throw new UpstreamError("UPSTREAM_RATE_LIMITED", "attribution search is overloaded", details);
    throw new UpstreamError("UPSTREAM_UNAVAILABLE", "attribution search failed", details);
  }
}

function inBrackets(codes: readonly (string | undefined)[]): string {
  const code = codes.find((each) => each !== undefined);
  return code === undefined ? "" : ` (${code})`;
}

/** Throws `CallError` for what is no such answer. */
function attributedIn(told: unknown, limit: number): Attributed {
  const { nodes, totalCount, limitHit } = fieldsOf(told);
  const names = Array.isArray(nodes) ? nodes.map((node) => fieldsOf(node)["repositoryName"]) : undefined;
  if (!names?.every((name) => typeof name === "string") || !Number.isInteger(totalCount))
    throw new CallError("Sourcegraph.com", "answered with something that is no attribution");
  return {
    repositories: names.slice(0, limit),
    totalCount: Math.min(Math.max(0, totalCount as number), 2 ** 31 - 1),
    limitHit: limitHit === true,
  };
}
