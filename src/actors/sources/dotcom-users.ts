import { CallError } from "../../lib/call-error.js";
import type { Clock } from "../../lib/clock.js";
import { type Fields, fieldsOf } from "../../lib/fields.js";
import type { GraphqlAnswer, GraphqlClient } from "../../lib/graphql.js";
import type { Actor, Feature, FeatureAccess, Unit } from "../actor.js";
import type { Burst } from "../burst.js";
import { type FoundActor, type Source, SourceError } from "../source.js";
import { isUserToken, normaliseToken } from "../token.js";
import { NonsenseError, toldAccess, toldName } from "../told.js";

/** What errors call Sourcegraph.com. */
export const dotcomService = "Sourcegraph.com";

const name = "dotcom-user";
const limit = "{ allowedModels source limit intervalSeconds }";
const operationName = "CheckDotcomUserAccessToken";
const query = `query ${operationName}($token: String!) {
  dotcom {
    codyGatewayDotcomUserByToken(token: $token) {
      id
      username
      codyGatewayAccess {
        enabled
        chatCompletionsRateLimit ${limit}
        codeCompletionsRateLimit ${limit}
        embeddingsRateLimit ${limit}
      }
    }
  }
}`;

/** Where its limits stand, and what they count. */
const limits: readonly (readonly [Feature, field: string, Unit])[] = [
  ["chat_completions", "chatCompletionsRateLimit", "requests"],
  ["code_completions", "codeCompletionsRateLimit", "requests"],
  ["embeddings", "embeddingsRateLimit", "tokens"],
];

const notFound = "ErrDotcomUserNotFound";
const staleAfterMs = 15 * 60_000;
const maxModels = 1_000;

export interface DotcomUsersOptions {
  readonly burst: Burst;
  /** How long after its last update a user may not be refreshed on its own request. */
  readonly coolDownMs: number;
}

/** Users of Sourcegraph.com. One user has several tokens, and one set of limits for all of them. */
export function createDotcomUsersSource(
  parts: { readonly clock: Clock; readonly graphql: GraphqlClient },
  options: DotcomUsersOptions,
): Source {
  const { clock, graphql } = parts;
  const { burst, coolDownMs } = options;

  async function ask(token: string, signal: AbortSignal): Promise<GraphqlAnswer> {
    try {
      return await graphql.ask({ name: operationName, query }, { token }, signal);
    } catch (error) {
      throw error instanceof CallError ? new SourceError(error.message, { cause: error }) : error;
    }
  }

  return {
    name,
    kind: dotcomService,
    denial: "access token denied: associated dotcom user not found",
    staleAfterMs,
    coolDownMs,
    resetsUsage: true,
    owns: (token) => token !== undefined && isUserToken(normaliseToken(token)),

    async lookup(token, signal) {
      if (token === undefined) return undefined;
      const user = userIn(await ask(normaliseToken(token), signal));
      if (user === undefined) return undefined;
      try {
        return { actor: actorOf(user, burst, new Date(clock.now())), tokens: undefined } satisfies FoundActor;
      } catch (error) {
        if (!(error instanceof NonsenseError)) throw error;
        throw new SourceError(`${dotcomService} told of a user that makes no sense: ${error.message}`, {
          ofActor: true,
        });
      }
    },

    close: graphql.close,
  };
}

/** What it said of the user; undefined when it said that there is none. Throws `SourceError` when it did not say. */
function userIn({ data, errors }: GraphqlAnswer): Fields | undefined {
  if (errors.length > 0) {
    if (errors.every((code) => code === notFound)) return undefined;
    const code = errors.find((each) => each !== undefined);
    throw trouble(`answered with an error${code === undefined ? "" : ` (${code})`}`);
  }
  const user = fieldsOf(data["dotcom"])["codyGatewayDotcomUserByToken"];
  if (typeof user !== "object" || user === null) throw trouble("answered with something that is no user");
  return user as Fields;
}

function actorOf(user: Fields, burst: Burst, now: Date): Actor {
  const id = databaseId(user["id"]);
  const access = fieldsOf(user["codyGatewayAccess"]);
  const { enabled } = access;
  if (typeof enabled !== "boolean") throw new NonsenseError("whether access is enabled is not said");
  const told = limits.map(([feature, field, unit]) => [feature, readLimit(field, access[field], unit, burst)] as const);
  return {
    id,
    name: toldName(user["username"], id),
    source: name,
    // Users are banned with a limit of 1.
    accessEnabled: enabled && !told.some(([, given]) => given?.limits[0]?.amount === 1),
    features: Object.fromEntries(told.filter(([, given]) => given !== undefined)),
    updatedAt: now,
  };
}

function readLimit(field: string, told: unknown, unit: Unit, burst: Burst): FeatureAccess | undefined {
  if (told === null || told === undefined) return undefined;
  const { limit: amount, intervalSeconds, allowedModels: models } = fieldsOf(told);
  if (!Array.isArray(models) || models.length > maxModels || !models.every(isModelName))
    throw new NonsenseError(`${field} has no list of models`);
  const windowMs = typeof intervalSeconds === "number" ? intervalSeconds * 1_000 : Number.NaN;
  return toldAccess({ field, amount, windowMs, unit, models }, burst);
}

function isModelName(model: unknown): model is string {
  return typeof model === "string" && model.length > 0 && model.length <= 200;
}

/** `VXNlcjo0Mg==` is `User:42`. */
function databaseId(relayId: unknown): string {
  const decoded = typeof relayId === "string" ? Buffer.from(relayId, "base64").toString("latin1") : "";
  const digits = /^User:([1-9]\d{0,15})$/.exec(decoded)?.[1];
  if (digits === undefined) throw new NonsenseError("its id is not one");
  return digits;
}

function trouble(how: string): SourceError {
  return new SourceError(`${dotcomService} ${how}`);
}
