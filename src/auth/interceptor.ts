import { type ContextValues, createContextKey, type Interceptor } from "@connectrpc/connect";
import type { Actor } from "../actors/actor.js";
import type { Authenticator } from "./authenticate.js";
import { callSpan } from "./call-span.js";
import { bearerToken } from "./credentials.js";

const actorKey = createContextKey<Actor | undefined>(undefined, { description: "the calling actor" });

/** The actor that made the call. Only for services that `createAuthInterceptor` covers. */
export function actorOf(values: ContextValues): Actor {
  const actor = values.get(actorKey);
  if (!actor) throw new Error("the service is not behind the auth interceptor");
  return actor;
}

/**
 * Authenticates every call but those to the services in `open`: a new service is closed until somebody opens it. To those in
 * `regardless`, actors whose access to models is disabled may come as well.
 */
export function createAuthInterceptor(
  parts: { authenticator: Authenticator },
  options: { readonly open: ReadonlySet<string>; readonly regardless?: ReadonlySet<string> },
): Interceptor {
  return (next) => async (req) => {
    if (!options.open.has(req.service.typeName)) {
      const token = bearerToken(req.header.get("authorization") ?? undefined);
      const { authenticator } = parts;
      const regardless = options.regardless?.has(req.service.typeName) ?? false;
      const find = regardless ? authenticator.identify : authenticator.authenticate;
      const actor = await find(token, callSpan(req.contextValues));
      req.contextValues.set(actorKey, actor);
    }
    return next(req);
  };
}
