import { ActorOrder, type ListActorsRequest } from "../../gen/codygateway/v1/actor_admin_pb.js";
import type { Feature } from "../actors/actor.js";
import type { Directory, Known } from "../actors/directory.js";
import type { Roster } from "../actors/roster.js";
import type { Sources } from "../actors/sources.js";
import { normaliseToken, type TokenHasher } from "../actors/token.js";
import { NotFoundError, UnauthenticatedError } from "../errors.js";
import type { LimitState, Quota } from "../quota/quota.js";
import type { AdminHandlers } from "./admin.js";
import type { Audited } from "./admin-audit.js";
import { accessOrigin, isOverLimit, toActor, toFeatures, toOverride, toToken } from "./admin-messages.js";
import { type ListOrder, pageOf, pageOfMatching } from "./admin-page.js";

export interface ActorAdminParts {
  readonly directory: Directory;
  readonly roster: Roster;
  readonly sources: Pick<Sources, "find" | "refresh" | "isStale">;
  readonly hasher: TokenHasher;
  readonly quota: Quota;
  readonly audited: Audited;
}

/** Who a request names. */
type Query =
  | { readonly case: "actor"; readonly value: { readonly source: string; readonly id: string } }
  | { readonly case: "accessToken"; readonly value: string }
  | { readonly case: undefined };

/** Most actors whose usage one page looks at: a further page goes on from there. */
const maxChecked = 2_000;

/** The actors there are, and what each has. */
export function actorHandlers(parts: ActorAdminParts): Pick<AdminHandlers, "listActors" | "getActor" | "refreshActor"> {
  const { directory, roster, sources, quota } = parts;
  const usageOf = ({ actor }: Known): Promise<ReadonlyMap<Feature, readonly LimitState[]>> => quota.limits(actor);

  async function find(query: Query): Promise<Known> {
    if (query.case === "actor") {
      const { source, id } = query.value;
      const known = roster.get(source, id);
      if (known) return known;
      throw new NotFoundError("no such actor", `actor/${source}/${id}`);
    }
    const token = query.case === "accessToken" ? normaliseToken(query.value) : "";
    return findByToken(parts, token);
  }

  return {
    async listActors(req) {
      const { pageSize, pageToken, overLimit } = req;
      const { source, text, accessEnabled, overridden, order, descending } = req;
      const query = [source, text, accessEnabled, overridden, overLimit, order, descending];
      const request = { pageSize, pageToken, query };
      const matching = filtered(roster.all(source === "" ? undefined : source), req);
      const by = { keyOf: keyOf(order), descending };
      const { items, nextPageToken } =
        overLimit === undefined
          ? await pageOf(matching, by, request)
          : await pageOfMatching(matching, by, request, (some) => overLimitOnly(some, overLimit), maxChecked);
      const usage = await Promise.all(items.map(usageOf));
      return {
        actors: items.map((known, index) => toActor(known, usage[index], sources.isStale(known))),
        nextPageToken,
        ...(isUnfiltered(req) && { totalSize: source === "" ? countAll() : roster.count(source) }),
      };
    },

    async getActor(req) {
      const known = await find(req.query);
      const usage = await usageOf(known);
      return {
        actor: toActor(known, usage, sources.isStale(known)),
        features: toFeatures(known, usage),
        accessOrigin: accessOrigin(known),
        overrides: known.overrides.map(toOverride),
        tokens: known.tokenHashes.map((hash) => toToken(hash, directory.revocation(hash))),
      };
    },

    refreshActor(req, context) {
      const { query, reason } = req;
      const actor = query.case === "actor" ? { source: query.value.source, id: query.value.id } : undefined;
      return parts.audited(context, { reason, ...(actor && { actor }) }, async () => {
        const asked = query.case === "accessToken" ? { token: normaliseToken(query.value) } : await find(query);
        const { known, changed } = await sources.refresh(asked);
        if (!known) throw new NotFoundError("its source has no such actor any more", "actor");
        const usage = await usageOf(known);
        const answer = {
          actor: toActor(known, usage, sources.isStale(known)),
          features: toFeatures(known, usage),
          changed,
        };
        return { answer, actor: { source: known.source, id: known.id } };
      });
    },
  };

  async function overLimitOnly(some: readonly Known[], wanted: boolean): Promise<readonly Known[]> {
    const usage = await Promise.all(some.map(usageOf));
    return some.filter((_, index) => [...(usage[index]?.values() ?? [])].some(isOverLimit) === wanted);
  }

  function countAll(): number {
    return roster.sources().reduce((sum, source) => sum + roster.count(source), 0);
  }
}

/** The actor of a token, asked of its source where it is not known yet. Throws `NotFoundError` when it is nobody's. */
export async function findByToken(
  { sources, directory, roster, hasher }: Pick<ActorAdminParts, "sources" | "directory" | "roster" | "hasher">,
  token: string,
): Promise<Known> {
  try {
    const { source, id } = await sources.find(token);
    const known = directory.byToken(hasher.hash(token)) ?? roster.get(source, id);
    if (known) return known;
  } catch (error) {
    if (!(error instanceof UnauthenticatedError)) throw error;
  }
  throw new NotFoundError("the token belongs to nobody", "actor");
}

function* filtered(all: Iterable<Known>, req: ListActorsRequest): Generator<Known> {
  const { accessEnabled, overridden } = req;
  const text = req.text.toLowerCase();
  for (const known of all) {
    if (accessEnabled !== undefined && known.actor.accessEnabled !== accessEnabled) continue;
    if (overridden !== undefined && known.overrides.length > 0 !== overridden) continue;
    if (text !== "" && !known.id.toLowerCase().includes(text) && !known.actor.name.toLowerCase().includes(text))
      continue;
    yield known;
  }
}

function isUnfiltered({ accessEnabled, overridden, overLimit, text }: ListActorsRequest): boolean {
  return accessEnabled === undefined && overridden === undefined && overLimit === undefined && text === "";
}

function keyOf(order: ActorOrder): ListOrder<Known>["keyOf"] {
  if (order === ActorOrder.NAME) return ({ source, id, actor }) => [actor.name.toLowerCase(), source, id];
  if (order === ActorOrder.REFRESH_TIME) return ({ source, id, actor }) => [actor.updatedAt.getTime(), source, id];
  return ({ source, id }) => [source, id];
}
