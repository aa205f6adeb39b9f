// What is tried when a request has failed and its caller has seen nothing of it: the same again where the upstream accepted
// nothing, else the models that may take over. What was reserved stays reserved, once.

import { GatewayError } from "./errors.js";
import type { Hold } from "./quota/quota.js";
import type { RelayParts, RelayReply, RelayRequest } from "./relay.js";
import { check } from "./relay-check.js";
import { isTimeOver, type Plan } from "./relay-plan.js";
import { planOther } from "./relay-planning.js";
import type { Exchange } from "./upstream/upstream.js";
import type { FlaggedEvent } from "./usage/event.js";

/** How it ended, when it took more than one try. */
export interface Attempts {
  /** The one that was carried out last. */
  readonly plan: Plan;
  /** Its end; the times are those of all tries together. */
  readonly exchange: Exchange;
  /** How often upstreams were asked. */
  readonly attempts: number;
  /** The model as the caller named it, where another one took over. */
  readonly requestedModel: string | undefined;
  /** What the checks of another model's provider said of the prompt. */
  readonly flagged: FlaggedEvent | undefined;
}

interface Made {
  readonly request: RelayRequest;
  readonly plan: Plan;
  readonly hold: Hold;
  readonly reply: RelayReply;
}

interface Next {
  readonly plan: Plan;
  readonly flagged: FlaggedEvent | undefined;
}

/** `first` has failed, and says that another try may help. */
export async function furtherAttempts(parts: RelayParts, made: Made, first: Exchange): Promise<Attempts> {
  const { request, hold, reply } = made;
  const startedAt = performance.now() - first.upstreamMs;
  const others = [...made.plan.others];
  const asked = new Set<string>();
  let last: Next = { plan: made.plan, flagged: undefined };
  let exchange = first;
  let attempts = 0;

  function count(): void {
    if (exchange.kind === "failed" && !exchange.tried) return;
    attempts++;
    asked.add(last.plan.route.upstream);
  }

  /** The next model whose upstream takes the request and has not been asked too often. */
  async function nextModel(): Promise<Next | undefined> {
    for (let route = others.shift(); route; route = others.shift()) {
      const other = planOther(parts, request, made.plan, route);
      const flagged = other && (await checked(parts, request, other));
      if (!flagged) continue;
      const repeated = asked.has(route.upstream);
      if (repeated && !parts.upstreams.repeat(route.upstream)) continue;
      const upstream = { ...other.upstream, hasOthers: others.length > 0, repeated };
      return { plan: { ...other, upstream }, flagged: flagged.event };
    }
    return undefined;
  }

  count();
  while (exchange.kind === "failed" && exchange.again !== undefined) {
    const next = exchange.again === "here" ? again(last) : await nextModel();
    if (!next || isTimeOver(next.plan.upstream)) break;
    last = next;
    const { plan } = last;
    reply.admitted(plan.route, hold.states);
    const passedMs = performance.now() - startedAt;
    const ended = await parts.upstreams.send(plan.upstream, reply, hold.reached);
    const firstByteMs = ended.firstByteMs === undefined ? undefined : ended.firstByteMs + passedMs;
    exchange = { ...ended, upstreamMs: performance.now() - startedAt, firstByteMs };
    count();
  }
  const { plan, flagged } = last;
  const requestedModel = plan.route.name === made.plan.route.name ? undefined : plan.asked;
  return { plan, exchange, attempts, requestedModel, flagged };
}

function again({ plan, flagged }: Next): Next {
  return { plan: { ...plan, upstream: { ...plan.upstream, repeated: true } }, flagged };
}

/** The prompt is checked by the rules of each provider that it goes to. Undefined: it may not go there. */
async function checked(
  { checks }: RelayParts,
  request: RelayRequest,
  plan: Plan,
): Promise<{ readonly event: FlaggedEvent | undefined } | undefined> {
  if (!checks) return { event: undefined };
  try {
    const event = await check(checks, request, plan);
    return event?.blocked ? undefined : { event };
  } catch (error) {
    if (error instanceof GatewayError) return undefined;
    throw error;
  }
}
