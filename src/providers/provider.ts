// A provider is how an upstream speaks. Everything here is pure: no I/O, no clock, no configuration, no logging.

import type { JsonObject } from "../lib/json.js";
import type { EmbeddingsApi } from "./embeddings.js";
import type { Output } from "./output.js";
import type { DropsEvent } from "./sse-filter.js";
import type { TypedApi, TypedCount } from "./typed.js";

/**
 * Tokens as the upstream reported them. A field it did not report is absent; 0 is 0. Providers count differently; here
 * the fields mean the same for all, so that they can be compared, added up and priced.
 */
export interface Usage {
  /** All of the prompt, including what was read from and written to the provider's cache. */
  readonly inputTokens?: number;
  /** All of the answer, including what was spent on thinking. */
  readonly outputTokens?: number;
  /** Of the input, read from the provider's prompt cache. */
  readonly cachedInputTokens?: number;
  /** Of the input, written to the provider's prompt cache. */
  readonly cacheWriteTokens?: number;
  /** Of the output, spent on thinking. */
  readonly reasoningTokens?: number;
}

/** The same, with the gateway's own counts where the upstream reported none. */
export interface CountedUsage extends Usage {
  /** Some of these counts are the gateway's own. Absent: none is. */
  readonly estimated?: true;
}

/** What a native request asks for, as far as the gateway needs to know. */
export interface Asked {
  /** The model as the caller wrote it. Undefined: not named in the body. */
  readonly model: string | undefined;
  readonly stream: boolean;
  /** The most output tokens it lets the model produce, when it says. */
  readonly maxOutputTokens: number | undefined;
  /** Programming language of the prompt, by which some virtual models choose. */
  readonly languageId?: string | undefined;
}

/** What the URL of a native request says, where its path says it. */
export interface Called {
  readonly model?: string | undefined;
  readonly stream?: boolean | undefined;
}

/** Where an API is called: below the upstream's base URL, and by callers below that of the gateway. */
export interface ApiPath {
  /** Begins with a slash. `{model}` stands for the model's name. */
  readonly path: string;
  /** Query that belongs to it, `alt=sse`. Callers that send another one mean another API. */
  readonly query?: string;
  /** Whether what is called here is a stream; undefined: the body says. */
  readonly stream?: boolean;
}

/** Member of the native body → its new JSON text; undefined removes it. */
export type Edits = Map<string, string | undefined>;

/** What the gateway says about a request on its way to the upstream. */
export interface Rewrite {
  /** The upstream's own name of the model. */
  readonly model: string;
  /** Identifies the end user to the provider; undefined leaves what the caller sent. */
  readonly endUser: string | undefined;
  /** Set on the routes of existing Sourcegraph instances: their clients' slips are corrected (wire.md 1.4, 20). */
  readonly sourcegraph: { readonly maxTokens: number } | undefined;
}

/**
 * Reads one answer as it passes, and says what it used and whether it ended properly. State for one answer; create one each.
 * Never throws: what it cannot read says nothing.
 */
export interface Meter {
  /** Longest event that it must see, where one of more than 64 KiB can hold usage or the end. */
  readonly maxEventBytes?: number;
  /** One event of a stream: `data` is its payload's bytes. Must be cheap for events that carry nothing of interest. */
  event(data: Buffer): void;
  /** The whole body of an answer that is no stream. */
  whole(body: Buffer): void;
  readonly usage: Usage;
  /** `complete` once the provider's end mark passed, `error` once it reported an error in the stream. */
  readonly ended: "complete" | "error" | undefined;
}

/** One operation of the provider's HTTP API that the gateway relays: one method and path, one body format. */
export interface Api {
  /** Short name, unique within the provider: `messages`, `chat_completions`. */
  readonly name: string;
  /** True where the provider charges nothing, such as for counting tokens: then no limit is charged either. */
  readonly free?: true;
  /** Where it is called. Typed requests and those of the Sourcegraph routes take the first one that fits. */
  readonly paths: readonly [ApiPath, ...ApiPath[]];
  /** The feature that callers mean by calling it when they do not say; absent: chat. Embeddings are nothing else, whatever they say. */
  readonly feature?: "code_completions" | "embeddings";
  /** True where the API is none for callers: the gateway speaks it to the upstream, and nobody to the gateway. */
  readonly inner?: true;
  /** Headers of the caller that are passed on, lower case: `anthropic-version`. */
  readonly passHeaders: readonly string[];
  /** Headers of the request when the caller sent none of that name. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether a body is one of this API, where the caller's path does not tell. Absent: it is. */
  takes?(body: JsonObject): boolean;
  /** Throws `InvalidRequestError` saying which field is wrong and what was expected. */
  read(body: JsonObject, called?: Called): Asked;
  /** What to change in the body. Only fields that must change. Throws `InvalidRequestError`. */
  rewrite(body: JsonObject, rewrite: Rewrite): Edits;
  /**
   * Which events of the answer are there only because `rewrite` asked for them, given the caller's own body: they are read,
   * and not passed on. Absent or undefined: none.
   */
  unasked?(body: JsonObject): DropsEvent | undefined;
  /** The text of the prompt, for estimates and checks. Called only when one of them is on. */
  prompt(body: JsonObject): string;
  /** Whether some of the prompt is given in numbers of tokens, where `prompt` cannot tell what it says. Absent: none can be. */
  numbered?(body: JsonObject): boolean;
  /** A meter for one answer. */
  meter(): Meter;
  /** A reader of what one answer says, for counting where the meter finds no tokens. Absent: answers are no texts. */
  output?(): Output;
  /** Translation to and from the typed RPCs; absent where the typed RPCs do not use this API. */
  readonly typed?: TypedApi;
  /** For an API that counts the tokens of a typed request: how to ask and what it answered. */
  readonly count?: TypedCount;
  /** For an API that embeds several texts at once: how they stand in its bodies, and the vectors in its answers. */
  readonly embeddings?: EmbeddingsApi;
}

/** An error as callers are told of it, in no particular shape yet. */
export interface PublicError {
  /** HTTP status of the answer; for an error inside a stream, the one it would have had. */
  readonly status: number;
  /** Stable word, `QUOTA_EXCEEDED`. */
  readonly reason: string;
  readonly message: string;
}

/** How one kind of upstream speaks: one file, and one line in `index.ts`. */
export interface Provider {
  /** `anthropic`, `openai`, `openai-compatible`: the `kind` of the configuration file. */
  readonly kind: string;
  /** What the vendor's SDK uses when no base URL is set; undefined: the configuration must say. */
  readonly defaultBaseUrl: string | undefined;
  /** What follows `/{upstream}` in the base URL that the vendor's SDK is given for the gateway: `/v1`, or nothing. */
  readonly sdkPrefix: string;
  /** Seconds for `retry-after` on a 503 when the upstream gave none (wire.md 1.4). */
  readonly retryAfterSeconds: number;
  readonly apis: readonly Api[];
  /** Query parameter in which callers may send their key instead of a header; undefined: none. */
  readonly keyParameter?: string;
  /** Headers that carry the upstream's key; an empty object where `key` is undefined. */
  authHeaders(key: string | undefined): Readonly<Record<string, string>>;
  /** The body of an error in the shape the vendor's SDKs read. */
  errorBody(error: PublicError, requestId: string): object;
  /**
   * What to write into a stream that has begun and cannot be finished, so that the vendor's SDKs throw: an `error` event.
   * It begins with a line feed, since the last line may have been sent in part; where none was, that is an empty line.
   */
  streamError(error: PublicError): string;
  /** The message of an error body of this provider; undefined when it has none. Bounded, on one line. */
  readError(body: Buffer): string | undefined;
  /** How the upstream lists its models, for `models: ["*"]`; undefined when it has no such API. */
  readonly modelList: ModelList | undefined;
}

export interface ModelList {
  /** Path below the upstream's base URL, with its query. */
  readonly path: string;
  /** Further paths at which callers ask for it. */
  readonly alsoAt?: readonly string[];
  /** Headers of the request, beside those with the key. */
  readonly headers: Readonly<Record<string, string>>;
  /** Native model names in the answer, in its order. Throws when it is not such a list. */
  read(body: unknown): readonly string[];
  /** The list in the provider's own shape, for `GET …/models`. `models` are native names. */
  write(models: readonly string[]): object;
}
