// What may stand in the configuration file, and what it becomes.

import * as z from "zod";
import type { Feature } from "../actors/actor.js";
import type { StaticActor } from "../actors/sources/static.js";
import { notification } from "./alerts.js";
import { actor } from "./file-actors.js";
import { byFeature, defined, secret } from "./file-fields.js";
import { perUserRules } from "./file-limits.js";
import { model } from "./file-models.js";
import { provider } from "./file-providers.js";
import { type FlaggingFile, flaggingSection } from "./flagging.js";
import * as as from "./schemas.js";
import type { SecretReader } from "./secrets.js";
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
