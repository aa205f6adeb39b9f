// How one upstream fares, and what follows: which key to use, whether to ask at all, whether another try may help.

import { UpstreamError } from "../errors.js";
import { createBreakers } from "./breakers.js";
import { createKeyRing, type KeyRing, type UpstreamKey } from "./keys.js";
import { createRetryBudget } from "./retry-budget.js";
import type { Again, UpstreamRequest } from "./upstream.js";

/** How one try ended, for those who count. */
export type TryOutcome =
  /** Answered with 2xx. */
  | "answered"
  /** Answered with another 4xx. */
  | "refused"
  /** 429 and 529. */
  | "rate_limited"
  /** 401 and 403. */
  | "key_refused"
  /** 5xx, a redirect, or bytes that are no answer. */
  | "failed"
  /** No connection. */
  | "unreachable"
  /** Broke off. */
  | "interrupted"
  | "timed_out"
  /** The caller left. */
  | "gone"
  /** Not made: the model is unavailable there. */
  | "not_made";

/** Who is told of what happens at upstreams. Must not throw. */
export interface UpstreamObserver {
  tried(upstream: string, outcome: TryOutcome): void;
  /** A key was refused. `restMs`: it is left out for so long from now on; undefined: it was already. */
  keyRefused(told: {
    readonly upstream: string;
    /** Name of the key, not the key. */
    readonly key: string;
    readonly status: number;
    /** The model, where it is left out for that one only. */
    readonly model: string | undefined;
    readonly restMs: number | undefined;
  }): void;
  /** A model became unavailable (`open`), or available again. */
  modelChanged(upstream: string, model: string, open: boolean): void;
}

export interface Health {
  readonly keys: KeyRing;
  /** A request is about to be sent. An error: it is not to be, the model is unavailable. */
  admit(request: UpstreamRequest): UpstreamError | undefined;
  /** The upstream answered, and not that it cannot. */
  answered(request: UpstreamRequest, key: UpstreamKey | undefined): void;
  /** It answered 401 or 403. */
  keyRefused(request: UpstreamRequest, key: UpstreamKey | undefined, status: number): Again;
  /** It answered 429, or 5xx. `hintSeconds`: when to come again, as it said. */
  overloaded(request: UpstreamRequest, key: UpstreamKey | undefined, status: number, hintSeconds?: number): Again;
  /** It did not answer. `reached`: it may have seen the request. */
  silent(request: UpstreamRequest, reached: boolean): Again;
  /** Whether a further try of a request that was sent to it already may be made. */
  repeat(): boolean;
  tried(outcome: TryOutcome): void;
  /** How many models are unavailable. */
  unavailable(): number;
}

/** How long a key that was refused is left out. */
const refusedKeyMs = 5 * 60_000;
/** Longest rest of a key that is rate limited. */
const maxLimitedMs = 60 * 60_000;

export function createHealth(
  parts: {
    readonly name: string;
    readonly keys: readonly UpstreamKey[];
    /** How long a key rests whose limit says nothing of it, in seconds. */
    readonly defaultRestSeconds: number;
    readonly observer: UpstreamObserver;
  },
  monotonic: () => number = () => performance.now(),
): Health {
  const { name, observer, defaultRestSeconds } = parts;
  const keys = createKeyRing(parts.keys, monotonic);
  const budget = createRetryBudget(monotonic);
  const breakers = createBreakers({
    monotonic,
    onChange: (model, open) => observer.modelChanged(name, model, open),
  });

  /** `here`: another try at this upstream may help. One is made for each request, and within the budget. */
  function again(request: UpstreamRequest, here: boolean): Again {
    if (here && !request.repeated && budget.spend()) return "here";
    return request.hasOthers ? "elsewhere" : undefined;
  }

  return {
    keys,
    admit(request) {
      const waitMs = breakers.waitMs(request.model);
      if (waitMs > 0) return unavailable(name, request.model, waitMs);
      if (!request.repeated) budget.sent();
      return undefined;
    },
    answered({ model }, key) {
      breakers.succeeded(model);
      keys.taken(key);
    },
    keyRefused(request, key, status) {
      // 403 may be about what the key may use: then it is good for other models.
      const model = status === 403 ? request.model : undefined;
      const rests = key !== undefined && keys.rest(key, monotonic() + refusedKeyMs, model);
      const restMs = rests ? refusedKeyMs : undefined;
      observer.keyRefused({ upstream: name, key: key?.name ?? "none", status, model, restMs });
      return again(request, keys.hasOther(key, request.model));
    },
    overloaded(request, key, status, hintSeconds) {
      const { model } = request;
      const other = status === 429 && keys.hasOther(key, model);
      if (status === 429 && key) {
        const restMs = Math.min((hintSeconds ?? defaultRestSeconds) * 1_000, maxLimitedMs);
        keys.rest(key, monotonic() + restMs, model);
      }
      // As long as there are keys, it is theirs and not the model's limit that is reached.
      if (!other) breakers.failed(model, (hintSeconds ?? 0) * 1_000);
      return again(request, other);
    },
    silent(request, reached) {
      breakers.failed(request.model);
      return again(request, !reached);
    },
    repeat: budget.spend,
    tried: (outcome) => observer.tried(name, outcome),
    unavailable: breakers.open,
  };
}

function unavailable(upstream: string, model: string, waitMs: number): UpstreamError {
  return new UpstreamError("UPSTREAM_UNAVAILABLE", "model is currently unavailable", {
    upstream,
    model: `${upstream}/${model}`,
    notAsked: true,
    retryAfterSeconds: Math.ceil(waitMs / 1_000),
  });
}
