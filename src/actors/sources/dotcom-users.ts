import type { CallError } from "../../lib/call-error.js";
import type { Clock } from "../../lib/clock.js";
import type { HttpAnswer, HttpCaller } from "../../lib/http-caller.js";
import type { Actor, Feature, FeatureAccess, Unit } from "../actor.js";
import type { Burst } from "../burst.js";
import { type FoundActor, type Source, SourceError } from "../source.js";
import { isUserToken, normaliseToken } from "../token.js";
import { NonsenseError, toldAccess, toldName } from "../told.js";

/** What errors call Sourcegraph.com. */
export const dotcomService = "Sourcegraph.com";

const name = "dotcom-user";
const operation = "CheckDotcomUserAccessToken";
const limit = "{ allowedModels source limit intervalSeconds }";
const query = `query ${operation}($token: String!) {
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
  /** Its GraphQL interface. */
  readonly apiUrl: string;
  readonly accessToken: string;
  /** Sent as `X-Sourcegraph-Client-ID`. */
  readonly clientId?: string | undefined;
  readonly userAgent: string;
  readonly burst: Burst;
  /** How long after its last update a user may not be refreshed on its own request. */
  readonly coolDownMs: number;
}

/** Users of Sourcegraph.com. One user has several tokens, and one set of limits for all of them. */
export function createDotcomUsersSource(
  parts: { readonly clock: Clock; readonly caller: HttpCaller },
  options: DotcomUsersOptions,
): Source {
  const { clock, caller } = parts;
  const { apiUrl, accessToken, clientId, userAgent, burst, coolDownMs } = options;
  const url = `${apiUrl}${apiUrl.includes("?") ? "&" : "?"}${operation}`;
  const headers = {
    authorization: `token ${accessToken}`,
    "content-type": "application/json; charset=utf-8",
    accept: "application/json",
    "user-agent": userAgent,
    ...(clientId !== undefined && { "x-sourcegraph-client-id": clientId }),
  };

  async function ask(token: string, signal: AbortSignal): Promise<HttpAnswer> {
    const body = JSON.stringify({ query, variables: { token } });
    try {
      return await caller.post({ url, headers, body, signal });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw new SourceError((error as CallError).message, { cause: error });
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
        throw trouble(`told of a user that makes no sense: ${error.message}`);
      }
    },

    close: () => caller.close(),
  };
}

/** What it said of the user; undefined when it said that there is none. Throws `SourceError` when it did not say. */
function userIn({ status, json }: HttpAnswer): Fields | undefined {
  if (status !== 200) throw trouble(`answered with ${status}`);
  const { data, errors } = fieldsOf(json);
  if (Array.isArray(errors) && errors.length > 0) {
    const codes = errors.map((error) => fieldsOf(fieldsOf(error)["extensions"])["code"]);
    if (codes.every((code) => code === notFound)) return undefined;
    const [code] = codes.filter((each): each is string => typeof each === "string" && /^\w{1,60}$/.test(each));
    throw trouble(`answered with an error${code === undefined ? "" : ` (${code})`}`);
  }
  const user = fieldsOf(fieldsOf(data)["dotcom"])["codyGatewayDotcomUserByToken"];
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

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(json: unknown): Fields {
  return typeof json === "object" && json !== null ? (json as Fields) : {};
}

function trouble(how: string): SourceError {
  return new SourceError(`${dotcomService} ${how}`);
}
