// From what the Enterprise Portal tells of a subscription to an actor.

import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Actor, Feature, FeatureAccess, PerUser, Unit } from "../actor.js";
import type { Burst } from "../burst.js";
import type { FoundActor, ListedEntry } from "../source.js";
import { isLicenseToken, normaliseToken } from "../token.js";
import { isPlainId, NonsenseError, toldAccess, toldId, toldName } from "../told.js";
import { type AccessFields, decodeAccess, type LimitFields } from "./enterprise-decode.js";

/** Wire name of the source. */
export const enterpriseName = "dotcom-product-subscriptions";

/** What the portal puts before the UUIDs of its subscriptions. */
export const idPrefix = "es_";

const maxTokens = 1_000;

/** How accesses are read. */
export interface Reading {
  readonly burst: Burst;
  /** What each user of a subscription may have; of features that are absent, all that the subscription has. */
  readonly perUser: Readonly<Partial<Record<Feature, PerUser>>>;
  readonly now: Date;
  /** Whether the subscription of this id, the portal's, may be served here; undefined: all may. */
  readonly admits?: ((subscriptionId: string) => boolean) | undefined;
  /** The same for the same limits: nearly all subscriptions have those of a plan. */
  readonly shared: (text: string, make: () => Actor["features"]) => Actor["features"];
}

/** The actor of a subscription. Throws `NonsenseError`. */
export function actorOf(access: AccessFields, { burst, perUser, now, admits, shared }: Reading): FoundActor {
  const id = toldId(withoutPrefix(access.subscriptionId));
  const { chatCompletionsRateLimit: chat, codeCompletionsRateLimit: code, embeddingsRateLimit: embeddings } = access;
  const limits = `${limitText(chat)} ${limitText(code)} ${limitText(embeddings)}`;
  const withheld = access.enabled && admits !== undefined && !admits(access.subscriptionId);
  const actor: Actor = {
    id,
    name: toldName(access.subscriptionDisplayName, id),
    source: enterpriseName,
    accessEnabled: access.enabled && !withheld,
    ...(withheld && { withheld: "license" as const }),
    features: shared(limits, () => featuresOf(access, burst, perUser)),
    updatedAt: now,
  };
  return { actor, tokens: tokensOf(access) };
}

function featuresOf(access: AccessFields, burst: Burst, perUser: Reading["perUser"]): Actor["features"] {
  const { chatCompletionsRateLimit: chat, codeCompletionsRateLimit: code, embeddingsRateLimit: embeddings } = access;
  const given: [Feature, FeatureAccess | undefined][] = [
    ["chat_completions", accessOf("the chat limit", chat, "requests", burst)],
    ["code_completions", accessOf("the code limit", code, "requests", burst)],
    ["embeddings", accessOf("the embeddings limit", embeddings, "tokens", burst)],
  ];
  return Object.fromEntries(
    given.flatMap(([feature, each]) => {
      const ofUser = perUser[feature];
      return each ? [[feature, { ...each, ...(ofUser && { perUser: ofUser }) }] as const] : [];
    }),
  );
}

/** The same for limits that say the same. */
function limitText(limit: LimitFields | undefined): string {
  return limit ? `${limit.limit}/${limit.intervalDuration?.seconds}.${limit.intervalDuration?.nanos}` : "-";
}

/** One entry of a listing, as its bytes: whatever is in them, it is an entry. */
export function entryOf(bytes: Uint8Array, reading: Reading): ListedEntry {
  let id: string | undefined;
  try {
    const access = decodeAccess(bytes);
    id = withoutPrefix(access.subscriptionId);
    return { kind: "actor", ...actorOf(access, reading) };
  } catch (error) {
    id ??= idWithin(bytes);
    const problem = error instanceof NonsenseError ? error.message : "it cannot be decoded";
    return { kind: "invalid", id: id !== undefined && isPlainId(id) ? id : undefined, problem };
  }
}

function accessOf(field: string, limit: LimitFields | undefined, unit: Unit, burst: Burst): FeatureAccess | undefined {
  if (!limit) return undefined;
  const { seconds = 0n, nanos = 0 } = limit.intervalDuration ?? {};
  const windowMs = Number(seconds) * 1_000 + nanos / 1e6;
  return toldAccess({ field, amount: limit.limit, windowMs, unit, models: ["*"] }, burst);
}

function tokensOf({ accessTokens }: AccessFields): string[] {
  const tokens = accessTokens.map(({ token }) => normaliseToken(token)).filter((token) => token !== "");
  if (tokens.length > maxTokens) throw new NonsenseError(`it has more than ${maxTokens} tokens`);
  if (!tokens.every(isLicenseToken)) throw new NonsenseError("one of its tokens is not one");
  return [...new Set(tokens)];
}

function withoutPrefix(id: string): string {
  return id.startsWith(idPrefix) ? id.slice(idPrefix.length) : id;
}

/** The id in bytes of which something else cannot be decoded: mostly it comes before that. */
function idWithin(bytes: Uint8Array): string | undefined {
  const reader = new BinaryReader(bytes);
  try {
    while (reader.pos < reader.len) {
      const [no, wireType] = reader.tag();
      if (no === 1 && wireType === WireType.LengthDelimited) return withoutPrefix(reader.string());
      reader.skip(wireType, no);
    }
  } catch {
    // Nor can what is before it.
  }
  return undefined;
}
