// The RPC half of the composition: which services there are, and what every call passes.

import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { ActorAdminService } from "../gen/codygateway/v1/actor_admin_pb.js";
import { AttributionService } from "../gen/codygateway/v1/attribution_pb.js";
import { CompletionsService } from "../gen/codygateway/v1/completions_pb.js";
import { EmbeddingsService } from "../gen/codygateway/v1/embeddings_pb.js";
import { LimitsService } from "../gen/codygateway/v1/limits_pb.js";
import { Health } from "../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.js";
import type { Sources } from "./actors/sources.js";
import { admin } from "./api/admin.js";
import { attribution } from "./api/attribution.js";
import { completions } from "./api/completions.js";
import { embeddings } from "./api/embeddings.js";
import { createErrorInterceptor, type FailedCall } from "./api/errors.js";
import { health } from "./api/health.js";
import { limits } from "./api/limits.js";
import { reflection } from "./api/reflection.js";
import { createAdminInterceptor } from "./auth/admin-interceptor.js";
import type { Authenticator } from "./auth/authenticate.js";
import { createAuthInterceptor } from "./auth/interceptor.js";
import type { Administration } from "./gateway-admin.js";
import type { Readiness } from "./lib/readiness.js";
import type { Tokenizer } from "./models/tokenizer.js";
import type { Quota } from "./quota/quota.js";
import type { RelayParts } from "./relay.js";
import type { Attribution } from "./relay-attribution.js";
import type { ModelDirectory } from "./relay-models.js";
import type { RpcParts as ServerRpcParts } from "./server/rpc.js";

/** Services for actors, and the one for operators. */
const forCallers = [CompletionsService, EmbeddingsService, LimitsService, AttributionService] as const;
const standard = [Health, ServerReflection, ServerReflectionAlpha] as const;
const servicesFor: Readonly<Record<Audience, readonly DescService[]>> = {
  callers: forCallers,
  operators: [ActorAdminService],
  both: [...forCallers, ActorAdminService],
};

/**
 * Services that no actor's token opens: health and reflection tell nothing about anybody, administration has credentials of
 * its own.
 */
const open = new Set([...standard, ActorAdminService].map(({ typeName }) => typeName));

/** Services that actors without access to models may call: they may have models of their own. */
const regardless = new Set([AttributionService.typeName]);

/** Largest message of an administration RPC. */
const maxAdminBytes = 1024 * 1024;

export interface RpcParts {
  readonly relay: RelayParts & { readonly tokenizer: Tokenizer };
  readonly quota: Quota;
  readonly authenticator: Authenticator;
  readonly sources: Sources;
  readonly models: ModelDirectory;
  readonly attribution: Attribution;
  readonly readiness: Readiness;
  readonly administration: Pick<Administration, "admins" | "parts">;
  /** Told of every call that failed, with the error before it was made fit for callers. */
  readonly onFailed: (error: unknown, call: FailedCall) => void;
}

/** For whom the services of a port are. */
export type Audience = "callers" | "operators" | "both";

/** Calls that have rules. */
const ruled = new Set([...forCallers, ActorAdminService].map(({ typeName }) => typeName));
let validate: Interceptor | undefined;

/** What evaluates rules takes 10 MB and a tenth of a start: it is loaded by the first call that has any. */
const validateLazily: Interceptor = (next) => async (call) => {
  if (!ruled.has(call.service.typeName)) return next(call);
  validate ??= (await import("./api/validation.js")).validate;
  return validate(next)(call);
};

/** First is outermost: errors, authentication, validation. */
export function rpcInterceptors(parts: RpcParts): Interceptor[] {
  return [
    createErrorInterceptor(parts.onFailed),
    createAuthInterceptor({ authenticator: parts.authenticator }, { open, regardless }),
    createAdminInterceptor(parts.administration),
    validateLazily,
  ];
}

const callers = forCallers.map(({ typeName }) => `/${typeName}/`);

/** Whether the path is an RPC's for actors: none for operators, and none that anybody may call. */
export function isForCallers(path: string): boolean {
  return callers.some((service) => path.startsWith(service));
}

/** When to begin with a call: to read one costs far more than to see that its token is nobody's. */
export function turnOfCall({ authenticator }: Pick<RpcParts, "authenticator">): ServerRpcParts["turnOf"] {
  // Schemes other than that of tokens are refused when it is read.
  const tokenIn = (header: string | undefined): string | undefined => header?.slice(header.indexOf(" ") + 1).trim();
  return (path, headers) => (isForCallers(path) ? authenticator.turnOf(tokenIn(headers.authorization)) : undefined);
}

/** Registers all services. */
export function rpcRoutes(parts: RpcParts, audience: Audience): (router: ConnectRouter) => void {
  const served = [...servicesFor[audience], ...standard];
  const names = new Set(served.map(({ typeName }) => typeName));
  const describe = reflection(served);
  return (router) => {
    if (audience !== "operators") {
      router.service(CompletionsService, completions(parts));
      router.service(LimitsService, limits(parts));
      router.service(EmbeddingsService, embeddings(parts));
      router.service(AttributionService, attribution(parts));
    }
    if (audience !== "callers")
      router.service(ActorAdminService, admin(parts.administration.parts), { readMaxBytes: maxAdminBytes });
    router.service(Health, health(parts, names));
    router.service(ServerReflection, describe);
    router.service(ServerReflectionAlpha, describe);
  };
}
