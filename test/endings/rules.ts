// Every way a request can end, and what then must be so: one table for every provider on every edge.

/** Answers that are one JSON body, and those that come in pieces. */
export type Kind = "whole" | "stream";

export interface Rule {
  readonly ending: string;
  readonly kinds: readonly Kind[];
  /** What the upstream is told to do, in the prompt. `refused`: there is none at its address. */
  readonly upstream: string;
  /** What the caller does beside reading: it leaves before or inside the answer, or gives it little time. */
  readonly caller?: "leaves before" | "leaves inside" | "deadline";
  /** What an HTTP caller is told: the status, and how a stream that had begun ends. */
  readonly http: string;
  /** What an RPC's caller is told: `ok` or a code, and whether events came before it. */
  readonly rpc: string;
  /** `ErrorInfo.reason` of the RPC, and the event's; undefined where nothing failed. */
  readonly reason?: string;
  /** Of the event; where it differs, that of the RPC's. */
  readonly outcome: "completed" | "failed" | "client_gone";
  readonly rpcOutcome?: "failed";
  /** Seconds after which the caller is told to come again, `kind`: those of the provider's kind. */
  readonly retryAfter?: number | "kind";
  /** Whether the request counts towards the limit. Where it differs: `rpcCharged`. */
  readonly charged: boolean;
  readonly rpcCharged?: boolean;
  /**
   * Which tokens the event tells: all that were used; what the upstream had told so far, and for the rest what was counted of what
   * it had sent so far, marked as estimated; none.
   */
  readonly tokens: "all" | "so far" | "none";
  /** How much of what the upstream has sent, the gateway has seen: all of it, as nothing is lost on the way; else a part. */
  readonly seen?: "a part";
  /** It depends on how an API's streams look, so that each API is tried and not only each provider. */
  readonly ofApi?: true;
  /** The upstream's own work is stopped. */
  readonly aborts?: true;
}

const both = ["whole", "stream"] as const;
const whole = ["whole"] as const;
const stream = ["stream"] as const;

const free = { outcome: "failed", charged: false, tokens: "none" } as const;
/** The caller has received a part, and is told that there is more to it. */
const cutInside = {
  ofApi: true,
  kinds: stream,
  http: "200 error event, broken",
  rpc: "unavailable inside",
  outcome: "failed",
  reason: "UPSTREAM_INTERRUPTED",
  charged: true,
  tokens: "so far",
} as const;
const refusedRequest = { ...free, rpc: "invalid_argument", reason: "UPSTREAM_REFUSED_REQUEST" } as const;
const refusedKey = { ...free, http: "502", rpc: "internal", reason: "UPSTREAM_REFUSED_KEY" } as const;
const busy = { ...free, http: "503", rpc: "unavailable", reason: "UPSTREAM_RATE_LIMITED" } as const;
const broken = { ...free, rpc: "unavailable", reason: "UPSTREAM_UNAVAILABLE" } as const;
const late = { ...free, http: "504", rpc: "deadline_exceeded", reason: "DEADLINE_EXCEEDED", aborts: true } as const;
const gone = { http: "left", rpc: "left", outcome: "client_gone", aborts: true } as const;

// biome-ignore format: a table
export const rules: readonly Rule[] = [
  { ending: "complete", ofApi: true, kinds: both, upstream: "", http: "200", rpc: "ok", outcome: "completed", charged: true, tokens: "all" },

  // The upstream does not answer.
  { ending: "refused", kinds: both, upstream: "refused", http: "502", ...broken },
  { ending: "reset before the answer", kinds: whole, upstream: "[[die after=0]]", http: "502", ...broken },

  // It answers with an error: passed on, but for what is about the gateway's key.
  { ending: "400", kinds: both, upstream: "[[status=400]]", http: "400", ...refusedRequest },
  { ending: "401", kinds: both, upstream: "[[status=401]]", ...refusedKey },
  { ending: "404", kinds: both, upstream: "[[status=404]]", http: "404", ...refusedRequest },
  { ending: "429", kinds: both, upstream: "[[status=429]]", retryAfter: "kind", ...busy },
  { ending: "429 with a hint", kinds: both, upstream: "[[status=429 retry-after=7]]", retryAfter: 7, ...busy },
  { ending: "500", kinds: both, upstream: "[[status=500]]", http: "500", ...broken },
  { ending: "503", kinds: both, upstream: "[[status=503]]", retryAfter: "kind", ...busy },
  { ending: "529", kinds: both, upstream: "[[status=529 retry-after=9]]", retryAfter: 9, ...busy },
  { ending: "redirect", kinds: both, upstream: "[[redirect=http://127.0.0.1:9/]]", http: "502", ...broken, reason: "UPSTREAM_REJECTED" },

  // Its answer breaks off, or is none.
  { ending: "reset inside", upstream: "[[die after=2]]", ...cutInside, seen: "a part" },
  { ending: "reset inside an event", upstream: "[[die after=2 half]]", ...cutInside, seen: "a part" },
  { ending: "reset inside a body", kinds: whole, upstream: "[[die after=1]]", http: "502", ...broken, reason: "UPSTREAM_INTERRUPTED" },
  { ending: "ended early", upstream: "[[truncate after=2]]", ...cutInside },
  { ending: "ended inside an event", upstream: "[[truncate after=2 half]]", ...cutInside },
  { ending: "half a body", kinds: whole, upstream: "[[truncate after=1]]", http: "502", ...broken, reason: "UPSTREAM_REJECTED" },
  { ending: "no JSON", kinds: whole, upstream: "[[garbage]]", http: "502", ...broken, reason: "UPSTREAM_REJECTED" },
  // Native streams are the provider's own bytes, whatever they are; only whom they are translated for, finds out.
  { ending: "no JSON inside", ofApi: true, kinds: stream, upstream: "[[garbage after=1]]", http: "200", rpc: "unavailable inside", outcome: "completed", rpcOutcome: "failed", reason: "UPSTREAM_INTERRUPTED", charged: true, tokens: "so far", seen: "a part" },
  // Its own error event is passed on, and SDKs raise on it.
  { ending: "error event", upstream: "[[error after=2]]", ...cutInside, http: "200 error event" },

  // It falls silent, or takes longer than its caller waits.
  { ending: "stalled inside", upstream: "[[stall after=2]]", ...cutInside, aborts: true },
  { ending: "stalled inside a body", kinds: whole, upstream: "[[stall after=1]]", ...late },
  { ending: "deadline before the answer", kinds: both, upstream: "[[delay=60000]]", caller: "deadline", ...late },
  { ending: "deadline inside a body", kinds: whole, upstream: "[[stall after=1]]", caller: "deadline", ...late },
  { ending: "deadline inside", upstream: "[[stall after=2]]", caller: "deadline", ...cutInside, rpc: "deadline_exceeded inside", reason: "DEADLINE_EXCEEDED", aborts: true },

  // The caller leaves. Once it has received the beginning, the request counts.
  { ending: "caller gone before the answer", kinds: both, upstream: "[[hold]]", caller: "leaves before", ...gone, charged: false, tokens: "none" },
  { ending: "caller gone inside a body", kinds: whole, upstream: "[[stall after=1]]", caller: "leaves before", ...gone, charged: false, tokens: "none" },
  { ending: "caller gone inside", ofApi: true, kinds: stream, upstream: "[[stall after=2]]", caller: "leaves inside", ...gone, charged: true, tokens: "so far", seen: "a part" },
];
