import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import type { EndUser, Feature } from "../actors/actor.js";
import { callSpan } from "../auth/call-span.js";
import { endUserOf } from "../auth/end-user.js";
import { actorOf } from "../auth/interceptor.js";
import type { TypedCall } from "../relay-typed.js";

/** What the route is told of a call. `askOf` says what it asks for. */
export function callOf<A>(
  feature: Feature,
  context: HandlerContext,
  askOf: (endUser: EndUser | undefined) => A,
): Omit<TypedCall, "ask"> & { readonly ask: A } {
  const { requestHeader } = context;
  const endUser = endUserIn(requestHeader);
  return {
    id: requestHeader.get("x-request-id") ?? "",
    traceId: requestHeader.get("x-trace") ?? "",
    span: callSpan(context.values),
    actor: actorOf(context.values),
    endUser,
    feature,
    edge: "rpc",
    ask: askOf(endUser),
    timeoutMs: context.timeoutMs(),
    arrivedAt: performance.now(),
    path: `/${context.service.typeName}/${context.method.name}`,
    signal: context.signal,
    isDeadline,
  };
}

/** Which of the actor's users asks, where that is said. */
export function endUserIn(header: Headers): EndUser | undefined {
  return endUserOf(header.get("x-sourcegraph-actor-uid"), header.get("x-sourcegraph-actor-anonymous-uid"));
}

function isDeadline(reason: unknown): boolean {
  return reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
}
