import type { UpstreamError } from "../errors.js";
import type { JsonObject } from "../lib/json.js";
import type { Span } from "../lib/span.js";
import type { EmbeddingsApi, NativeVectors } from "../providers/embeddings.js";
import type { Output } from "../providers/output.js";
import type { Api, CountedUsage, Provider } from "../providers/provider.js";
import type { DropsEvent } from "../providers/sse-filter.js";
import type { UpstreamKey } from "./keys.js";

/**
 * Who receives an upstream's answer: an HTTP response, or the typed edge's decoder. `whole`, `write` and `ended` throw when what
 * came cannot be read as an answer: then the upstream has failed.
 */
export interface Reply {
  /** Begins a streamed answer. Headers are names, lower case, and values in turn, already filtered. */
  start(status: number, headers: readonly string[]): void;
  /** The whole of an answer that is no stream, in place of all the others. */
  whole(status: number, headers: readonly string[], body: Buffer): void;
  /** Passes bytes of a stream on. False: stop until `onDrain` calls back. */
  write(chunk: Buffer): boolean;
  /** The stream has ended as it should. */
  ended?(): void;
  /** Calls `resume` once, when more can be written. */
  onDrain(resume: () => void): void;
  /** Calls `listener` once, as soon as the caller has left; at once if it already has. */
  onGone(listener: () => void): void;
}

/** One request to an upstream. */
export interface UpstreamRequest {
  /** Configured name of the upstream. */
  readonly upstream: string;
  readonly api: Api;
  /** Path below the base URL, with its query. */
  readonly path: string;
  /** The upstream's own model name. */
  readonly model: string;
  /** Of the request that this one is for; undefined: nobody traces it. */
  readonly span: Span | undefined;
  readonly stream: boolean;
  readonly body: Buffer;
  /** Events of the answer that are not passed on (`Api.unasked`). */
  readonly unasked: DropsEvent | undefined;
  /** Headers of the caller, lower case; only those that the API passes on are used. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** When the caller's time is over, by `performance.now()`; the configured limits hold beside it. */
  readonly endBy: number | undefined;
  /** When it is over for a stream that has not begun. */
  readonly beginBy: number | undefined;
  /** Another model can be tried when this one fails: then its error is not passed on, where that may help. */
  readonly hasOthers: boolean;
  /** The same request was sent to this upstream before. */
  readonly repeated: boolean;
  /** For embeddings: what there is to divide and to count. */
  readonly batch?: Batch | undefined;
}

/** An embeddings request as what it is made of. */
export interface Batch {
  /** The body, scanned, its inputs and how they stand in it; undefined: there is one input, and nothing to divide. */
  readonly divide:
    | { readonly api: EmbeddingsApi; readonly body: JsonObject; readonly inputs: readonly string[] }
    | undefined;
  /** Writes the answer from the vectors; undefined: the caller gets it in the upstream's own form. What it throws is the upstream's fault. */
  readonly compose: ((answer: NativeVectors, tokens: number) => Buffer | Promise<Buffer>) | undefined;
  /** All texts, for counting their tokens. */
  texts(): readonly string[];
}

/**
 * Which further try may help a request that failed, of which the caller has seen nothing: `here`, of the same request, since
 * nothing was accepted; `elsewhere`, of another model; undefined: none.
 */
export type Again = "here" | "elsewhere" | undefined;

/** What there is to say of every exchange. */
export interface Figures {
  readonly usage: CountedUsage;
  /** What its answer said, where the upstream did not tell how many tokens that were. */
  readonly output?: Output | undefined;
  /** The upstream's own status, when it answered. */
  readonly status: number | undefined;
  /** Milliseconds from sending to the end. */
  readonly upstreamMs: number;
  /** Milliseconds from sending to the beginning of the answer; undefined when it did not begin. */
  readonly firstByteMs: number | undefined;
}

/** How an exchange with an upstream ended. Never a rejection: every ending is one of these. */
export type Exchange = Figures &
  (
    | {
        /** The whole answer was passed on; its status may be an error's. `streamError`: the provider reported an error inside the stream. */
        readonly kind: "answered";
        readonly streamError: boolean;
      }
    | {
        /** The upstream failed. `started`: the answer had begun, so the caller must be told inside it. */
        readonly kind: "failed";
        readonly error: UpstreamError;
        readonly started: boolean;
        readonly again: Again;
        /** False: it was not tried, the model is unavailable. */
        readonly tried: boolean;
      }
    | {
        /** The caller left; the upstream request was aborted. `started`: it had received the beginning of a 2xx answer. */
        readonly kind: "gone";
        readonly started: boolean;
      }
  );

/** Limits in time of one exchange, in milliseconds. */
export interface UpstreamTimeouts {
  readonly connectMs: number;
  /** Until the first byte of a streamed answer; a whole answer may take up to ten minutes, or `totalMs`. */
  readonly firstByteMs: number;
  /** Longest silence inside an answer. */
  readonly idleMs: number;
  readonly totalMs: number;
}

/** Where requests are sent: one configured upstream. */
export interface UpstreamTarget {
  readonly name: string;
  readonly provider: Provider;
  /** `https://api.openai.com/v1`: what the vendor's SDK takes as base URL. */
  readonly baseUrl: string;
  /** The keys to use, each as often as its weight says; none: requests carry no key. */
  readonly keys: readonly UpstreamKey[];
  /** Sent with every request, beside what the API itself asks for. Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeouts: UpstreamTimeouts;
}

/** Sends requests to the configured upstreams and passes their answers on as they come. */
export interface Upstreams {
  /** How the upstream of this name speaks. */
  provider(upstream: string): Provider;
  /** Resolves when the exchange is over, whichever way. `onReached` is called when the request is put on a connection. */
  send(request: UpstreamRequest, reply: Reply, onReached: () => void): Promise<Exchange>;
  /** Takes one further try of a request that was sent to this upstream before from its budget; false when none is left. */
  repeat(upstream: string): boolean;
  /** Puts these keys in place of the upstream's own, for requests from now on; false where they are the same. */
  setKeys(upstream: string, keys: readonly UpstreamKey[]): boolean;
  /** The model names the upstream lists; none when it has no such list or does not answer. Remembered for a while. */
  listModels(upstream: string): Promise<readonly string[]>;
  /** By upstream: how many models are unavailable there, and how many keys are left out. */
  unavailableModels(): Iterable<readonly [upstream: string, count: number]>;
  restingKeys(): Iterable<readonly [upstream: string, count: number]>;
  /** Ends all connections; exchanges under way fail. */
  close(): Promise<void>;
}
