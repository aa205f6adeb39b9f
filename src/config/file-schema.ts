// What may stand in the configuration file, and what it becomes.

import { hash } from "node:crypto";
import * as z from "zod";
import { type Actor, type Feature, type FeatureAccess, features, type Limit, type PerUser } from "../actors/actor.js";
import type { StaticActor } from "../actors/sources/static.js";
import { minTokenLength } from "../actors/token.js";
import type { UpstreamKey } from "../upstream/keys.js";
import { notification } from "./alerts.js";
import { type FlaggingFile, flaggingSection } from "./flagging.js";
import * as as from "./schemas.js";
import type { SecretReader } from "./secrets.js";
import { vendors } from "./settings.js";
import { strict } from "./strict.js";
import type { AlertConfig, ModelConfig, PerUserDefaults, StoreFailure, UpstreamConfig } from "./types.js";

/** A file that is right. */
export interface FileContent {
  readonly upstreams: readonly UpstreamConfig[];
  readonly models: readonly ModelConfig[];
  readonly staticActors: readonly StaticActor[];
  readonly quotaStoreFailure: Readonly<Partial<Record<Feature, StoreFailure>>>;
  /** What each user of an Enterprise subscription may have. */
  readonly perUserLimits: PerUserDefaults;
  readonly flagging: FlaggingFile;
  readonly alerts: readonly AlertConfig[];
}

/** `secrets` says what the references stand for; `now` is when the actors were confirmed. */
export function fileSchema(secrets: SecretReader, now: Date, kinds: readonly string[] | undefined) {
  return strict({
    providers: z.array(provider(secrets, kinds)).default([]),
    models: z.array(model).default([]),
    actors: z.array(actor(secrets, now)).default([]),
    quotaStoreFailure: byFeature(as.storeFailure).default({}),
    perUserLimits: byFeature(perUserRules).default({}),
    flagging: flaggingSection.default({}),
    notifications: z.array(notification(secret(secrets))).default([]),
  }).transform(
    ({ providers, models, actors, quotaStoreFailure, perUserLimits, flagging, notifications }): FileContent => {
      return {
        perUserLimits: defined(perUserLimits),
        upstreams: providers,
        models,
        staticActors: actors,
        quotaStoreFailure: defined(quotaStoreFailure),
        flagging,
        alerts: notifications,
      };
    },
  );
}

function byFeature<T extends z.ZodType>(schema: T) {
  return strict({
    chat_completions: schema.optional(),
    code_completions: schema.optional(),
    embeddings: schema.optional(),
  });
}

/** The entries that have a value. */
function defined<T extends object>(entries: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as never;
}

const word = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const name = z.string().regex(word, "expected lower-case letters, digits, dot, dash or underscore, 63 at most");
const gatewayModel = z.string().regex(/^[^\s/]+\/[\x21-\x7e]{1,250}$/, "expected a gateway model name, provider/model");
const pattern = z.string().regex(/^[\x21-\x7e]{1,250}$/, "expected a model name or a pattern such as claude-*");
const patterns = z.array(pattern).min(1, "expected at least one pattern, such as *");
const weight = z.number("expected a whole number from 1 to 1000").int().min(1).max(1_000).default(1);

function secret(read: SecretReader) {
  return z.string("expected a reference, env:NAME or file:/path").transform((reference, context) => {
    const found = read(reference);
    if ("secret" in found) return found.secret;
    context.addIssue({ code: "custom", message: `expected ${found.expected}` });
    return z.NEVER;
  });
}

/** Headers that are the gateway's own to set, or that belong to a connection. */
const ownHeaders =
  /^(authorization|proxy-.*|x-api-key|x-goog-api-key|api-key|cookie|host|content-length|content-type|content-encoding|accept-encoding|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect)$/;

const headers = z.record(
  z
    .string()
    .regex(/^[a-zA-Z0-9-]{1,100}$/, "expected the name of a header")
    .refine(
      (header) => !ownHeaders.test(header.toLowerCase()),
      "expected another header: this one is the gateway's own",
    ),
  z.string("expected a text").regex(/^[\x20-\x7e]*$/, "expected printable ASCII"),
);

const timeouts = strict({
  connect: as.timeout.optional(),
  firstByte: as.timeout.optional(),
  idle: as.timeout.optional(),
  total: as.timeout.optional(),
}).transform(({ connect, firstByte, idle, total }) =>
  defined({ connectMs: connect, firstByteMs: firstByte, idleMs: idle, totalMs: total }),
);

const perCall = z.number("expected a whole number from 1 to 1000000").int().min(1).max(1_000_000);

const embeddings = strict({
  models: patterns.optional(),
  inputsPerCall: perCall.optional(),
  tokensPerCall: perCall.optional(),
});

function provider(read: SecretReader, kinds: readonly string[] | undefined) {
  return strict({
    name,
    kind: kinds ? z.enum(kinds) : name,
    baseUrl: as.baseUrl.optional(),
    keys: z.array(upstreamKey(read)).default([]),
    models: patterns.optional(),
    embeddings: embeddings.default({}),
    headers: headers.default({}),
    timeouts: timeouts.default({}),
  }).transform(({ keys, baseUrl, models, embeddings: own, ...rest }): UpstreamConfig => {
    const vendor = Object.hasOwn(vendors, rest.kind) ? vendors[rest.kind as keyof typeof vendors] : undefined;
    return {
      ...rest,
      baseUrl: baseUrl ?? vendor?.baseUrl.schema.parse(undefined) ?? "",
      keys,
      models,
      // Its list is of all that it serves, where it has none for embeddings.
      embeddings: {
        models: own.models ?? models,
        inputsPerCall: own.inputsPerCall,
        tokensPerCall: own.tokensPerCall,
      },
    };
  });
}

/** The reference is no secret: operators know the key by it. */
function upstreamKey(read: SecretReader) {
  return strict({ ref: z.string("expected a reference, env:NAME or file:/path"), weight }).transform(
    ({ ref, weight: share }, context): UpstreamKey => {
      const found = secret(read).pipe(as.headerSecret).safeParse(ref);
      if (found.success) return { name: ref, value: found.data, weight: share };
      for (const { message } of found.error.issues) context.addIssue({ code: "custom", path: ["ref"], message });
      return z.NEVER;
    },
  );
}

const languages = z
  .array(z.string().regex(/^[a-z0-9.+#-]{1,64}$/, "expected the id of a language, such as typescript"))
  .min(1, "expected at least one language");

const price = z.number("expected a number of US dollars").min(0);

const model = strict({
  id: gatewayModel,
  routes: z
    .array(strict({ model: gatewayModel, weight, languages: languages.optional() }))
    .min(1)
    .refine((all) => all.some((route) => !route.languages), "expected a route without languages, for all others")
    .optional(),
  fallbacks: z
    .array(strict({ model: gatewayModel }))
    .max(8, "expected 8 at most")
    .optional(),
  prices: strict({
    inputPerMillion: price,
    outputPerMillion: price,
    cachedInputPerMillion: price.optional(),
    cacheWritePerMillion: price.optional(),
  }).optional(),
}).transform(({ id, routes, fallbacks, prices }, context): ModelConfig => {
  if (!routes && !fallbacks && !prices) {
    context.addIssue({ code: "custom", message: "expected routes, fallbacks or prices" });
  }
  return {
    id,
    routes: (routes ?? []).map((route) => ({ ...route, languages: route.languages })),
    fallbacks: (fallbacks ?? []).map((each) => each.model),
    prices: prices && {
      ...prices,
      cachedInputPerMillion: prices.cachedInputPerMillion,
      cacheWritePerMillion: prices.cacheWritePerMillion,
    },
  };
});

const amount = z.number("expected a whole number from 0 to 2^53 - 1").int().min(0);

const ruleFields = {
  limit: amount.optional(),
  per: as.window.optional(),
  unit: z.enum(["requests", "tokens", "microdollars"]).optional(),
  models: patterns.optional(),
  inFlight: amount.optional(),
};

type RuleFields = z.output<ReturnType<typeof strict<typeof ruleFields>>>;

/** `{limit, per, unit?, models?}` or `{inFlight}`. */
const rule = strict(ruleFields).transform(readRule);

function readRule(given: RuleFields, context: z.RefinementCtx): Limit | { readonly inFlight: number } {
  const { limit, per, inFlight, unit = "requests", models } = given;
  const refuse = (path: string[], message: string) => {
    context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  };
  if (inFlight !== undefined) return standsAlone(given, "inFlight", context) ? { inFlight } : z.NEVER;
  if (limit === undefined) return refuse([], "expected limit and per, or inFlight");
  if (per === undefined) return refuse(["per"], "expected a duration such as 24h, beside limit");
  return { amount: limit, unit, windowMs: per, ...(models && { models }) };
}

function standsAlone(given: object, key: string, context: z.RefinementCtx): boolean {
  const others = Object.keys(given).filter((each) => each !== key);
  if (others.length === 0) return true;
  context.addIssue({ code: "custom", path: [key], message: `expected alone, not beside ${others.join(", ")}` });
  return false;
}

const rules = z.array(rule).superRefine((all, context) => {
  if (all.filter((each) => "inFlight" in each).length > 1) {
    context.addIssue({ code: "custom", message: "expected inFlight once" });
  }
});

/** The same, or `{percentage}`: a share of each limit of the actor. */
const perUserRule = strict({ ...ruleFields, percentage: as.share.optional() }).transform((given, context) => {
  const { percentage } = given;
  if (percentage === undefined) return readRule(given, context);
  return standsAlone(given, "percentage", context) ? { percentage } : z.NEVER;
});

const perUserRules = z
  .array(perUserRule)
  .superRefine((all, context) => {
    for (const key of ["inFlight", "percentage"] as const)
      if (all.filter((each) => key in each).length > 1)
        context.addIssue({ code: "custom", message: `expected ${key} once` });
  })
  .transform((all): PerUser => {
    const limits = all.filter((each) => "amount" in each);
    const inFlight = all.find((each) => "inFlight" in each)?.inFlight;
    const percentage = all.find((each) => "percentage" in each)?.percentage;
    return { limits, ...(inFlight !== undefined && { inFlight }), ...(percentage !== undefined && { percentage }) };
  });

function actor(read: SecretReader, now: Date) {
  return strict({
    id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/, "expected letters, digits and . _ : @ -, 128 at most"),
    name: z.string().min(1).max(200).optional(),
    tokens: z.array(token(read)).min(1, "expected at least one token"),
    limits: byFeature(rules),
    perUserLimits: byFeature(perUserRules).default({}),
    models: byFeature(patterns).default({}),
  }).transform(({ id, name: title, tokens, limits, perUserLimits, models }): StaticActor => {
    const entries = features.flatMap((feature): [Feature, FeatureAccess][] => {
      const access = limits[feature] && accessOf(limits[feature], models[feature] ?? ["*"]);
      const perUser = perUserLimits[feature];
      return access ? [[feature, { ...access, ...(perUser && { perUser }) }]] : [];
    });
    const made: Actor = {
      id,
      name: title ?? id,
      source: "static",
      accessEnabled: true,
      features: Object.fromEntries(entries),
      updatedAt: now,
    };
    return { actor: made, tokenSha256: tokens };
  });
}

/** A limit of 0 for all models, or of 0 in flight, is no access. */
function accessOf(all: z.output<typeof rules>, models: readonly string[]): FeatureAccess | undefined {
  const limits = all.filter((each) => !("inFlight" in each)) as Limit[];
  const inFlight = all.find((each) => "inFlight" in each)?.inFlight;
  if (inFlight === 0 || limits.some((limit) => limit.amount === 0 && !limit.models)) return undefined;
  return { limits, models, ...(inFlight !== undefined && { inFlight }) };
}

/** Becomes the SHA-256 of the token, in lower-case hex. */
function token(read: SecretReader) {
  return strict({
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, "expected 64 hex digits, the SHA-256 of the token")
      .optional(),
    ref: secret(read).optional(),
  }).transform(({ sha256, ref }, context): string => {
    if ((sha256 === undefined) === (ref === undefined)) {
      context.addIssue({ code: "custom", message: "expected either sha256 or ref" });
      return z.NEVER;
    }
    if (sha256 !== undefined) return sha256.toLowerCase();
    if (ref !== undefined && ref.length >= minTokenLength) return hash("sha256", ref, "hex");
    context.addIssue({
      code: "custom",
      path: ["ref"],
      message: `expected a token of ${minTokenLength} characters or more`,
    });
    return z.NEVER;
  });
}
