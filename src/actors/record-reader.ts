import * as z from "zod";
import { createShared } from "../lib/shared.js";
import { type Actor, type Feature, type FeatureAccess, features, type Limit, type PerUser } from "./actor.js";
import type { AuditEntry } from "./audit.js";
import { type Override, type OverrideSubject, overrideName } from "./override.js";
import { parseActorKey, type Revocation, recordVersion, type ToldActor } from "./records.js";
import type { StoreRecord } from "./store.js";
import type { SyncState } from "./sync-state.js";

/** Reads the values of records. Every function throws, with words about what is wrong, when a value makes no sense. */
export interface RecordReader {
  actor(record: StoreRecord): ToldActor;
  override(record: StoreRecord): Override;
  revocation(record: StoreRecord): Revocation;
  sync(record: StoreRecord): SyncState;
  audit(record: StoreRecord): AuditEntry;
  /** For kinds whose value says nothing. */
  plain(record: StoreRecord): void;
}

const amount = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const time = z.number().int();
const models = z.array(z.string());
const feature = z.enum(features as readonly [Feature, ...Feature[]]);

const limit: z.ZodType<Limit> = z.object({
  amount,
  unit: z.enum(["requests", "tokens", "microdollars"]),
  windowMs: z.number().int().positive(),
  models: models.exactOptional(),
  burst: z.boolean().exactOptional(),
});

const perUser: z.ZodType<PerUser> = z.object({
  limits: z.array(limit),
  inFlight: amount.exactOptional(),
  percentage: z.number().positive().max(100).exactOptional(),
});

const access: z.ZodType<FeatureAccess> = z.object({
  limits: z.array(limit),
  inFlight: amount.exactOptional(),
  perUser: perUser.exactOptional(),
  models,
});

// Features that this version does not know are left out.
const granted: z.ZodType<Actor["features"]> = z.object({
  chat_completions: access.exactOptional(),
  code_completions: access.exactOptional(),
  embeddings: access.exactOptional(),
});

const actor = z.object({
  name: z.string(),
  accessEnabled: z.boolean(),
  // A reason that this version does not know is still one.
  withheld: z.string().exactOptional(),
  updatedAt: time,
  tokenHashes: z.array(z.string()),
  tokenTimes: z.array(time).exactOptional(),
  unlistedAt: time.exactOptional(),
  features: z.string(),
});

const subject: z.ZodType<OverrideSubject> = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("access"), enabled: z.boolean() }),
  z.object({
    kind: z.literal("limits"),
    feature,
    limits: z.array(limit),
    inFlight: amount.exactOptional(),
    perUser: perUser.exactOptional(),
  }),
  z.object({ kind: z.literal("allowed_models"), feature, models }),
]);

const override = z.object({ subject, reason: z.string(), setBy: z.string(), setAt: time });
const revocation = z.object({
  reason: z.string(),
  revokedBy: z.string(),
  revokedAt: time,
  pepper: z.string().exactOptional(),
});

const audited = z.record(z.string(), z.unknown());
const audit: z.ZodType<Omit<AuditEntry, "id">> = z.object({
  at: time,
  admin: z.string(),
  rpc: z.string(),
  requestId: z.string(),
  reason: z.string(),
  actor: z.object({ source: z.string(), id: z.string() }).exactOptional(),
  source: z.string().exactOptional(),
  before: audited.exactOptional(),
  after: audited.exactOptional(),
  error: z.string().exactOptional(),
});

const counts = z.object({
  pages: amount,
  seen: amount,
  added: amount,
  changed: amount,
  unchanged: amount,
  removed: amount,
  quarantined: amount,
  estimatedTotal: amount.exactOptional(),
});

const identity = { id: z.string(), startedAt: time, process: z.string(), dryRun: z.boolean() };

const running = z.object({ ...identity, allowShrink: z.boolean(), counts, until: time });

const ended = z.object({
  ...identity,
  endedAt: time,
  outcome: z.enum(["succeeded", "held", "failed", "canceled"]),
  counts,
  error: z.string().exactOptional(),
  hold: z.object({ reason: z.string(), wouldRemove: amount, known: amount, allowedShare: z.number() }).exactOptional(),
});

const sync: z.ZodType<SyncState> = z.object({
  running: running.exactOptional(),
  last: ended.exactOptional(),
  lastDryRun: ended.exactOptional(),
  completedAt: time.exactOptional(),
  pepper: z.string().exactOptional(),
  nextAt: time.exactOptional(),
  failures: amount.exactOptional(),
});

/** Most different sets of features that are kept at hand, twice. */
const maxShared = 10_000;

/**
 * A reader that gives equal parts of actors as one object: thousands of actors have the same limits, and each needs little
 * more memory than its id, name and token hash.
 */
export function createRecordReader(): RecordReader {
  const sharedFeatures = createShared<Actor["features"]>(maxShared);
  const sharedSources = createShared<string>(maxShared);
  let lastUpdate = new Date(0);

  return {
    actor(record) {
      const { name, accessEnabled, withheld, updatedAt, features: of, ...rest } = check(actor, valueOf(record));
      const { source, id } = parseActorKey(record.key);
      if (lastUpdate.getTime() !== updatedAt) lastUpdate = new Date(updatedAt);
      const told = {
        id,
        name,
        source: sharedSources(source, () => source),
        accessEnabled,
        ...(withheld !== undefined && { withheld: "license" as const }),
        features: sharedFeatures(of, () => check(granted, parseJson(of))),
        updatedAt: lastUpdate,
      };
      return { told, ...rest, ...expiryOf(record) };
    },
    override(record) {
      const parsed = check(override, valueOf(record));
      const space = record.key.indexOf(" ");
      const who = parseActorKey(record.key.slice(space + 1));
      if (record.key.slice(0, space) !== overrideName(parsed.subject)) throw new Error("key and subject differ");
      return { ...who, ...parsed, ...expiryOf(record) };
    },
    revocation(record) {
      return { tokenHash: record.key, ...check(revocation, valueOf(record)), ...expiryOf(record) };
    },
    sync: (record) => check(sync, valueOf(record)),
    audit: (record) => ({ id: record.key, ...check(audit, valueOf(record)) }),
    plain: (record) => void valueOf(record),
  };
}

function expiryOf({ expiresAt }: StoreRecord): { expiresAt?: number } {
  return expiresAt === undefined ? {} : { expiresAt };
}

function valueOf({ value = "" }: StoreRecord): object {
  const parsed = parseJson(value);
  if (typeof parsed !== "object" || parsed === null || !("v" in parsed)) throw new Error("not a record");
  if (parsed.v !== recordVersion) throw new Error(`of version ${String(parsed.v)}, expected ${recordVersion}`);
  return parsed;
}

/** What the parser says quotes the value, which has no place in a log. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("not JSON");
  }
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  throw new Error(`${issue?.path.join(".")}: ${issue?.message}`);
}
