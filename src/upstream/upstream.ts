import type { Usage } from "../providers/provider.js";
import type { UpstreamError } from "../errors.js";

/** Who receives an upstream's answer: an HTTP response, or the typed edge's decoder. */
export interface Reply {
  /** Begins the answer. Headers are lower case, already filtered. Called once, before any `write`. */
  start(status: number, headers: Readonly<Record<string, string>>): void;
  /** Passes bytes on. False: stop until `onDrain` calls back. */
  write(chunk: Buffer): boolean;
  /** Calls `resume` once, when more can be written. */
  onDrain(resume: () => void): void;
  /** Calls `listener` once, as soon as the caller has left; at once if it already has. */
  onGone(listener: () => void): void;
}

/** One request to an upstream. */
export interface UpstreamRequest {
  /** Configured name of the upstream. */
  readonly upstream: string;
  /** Name of the API of its provider. */
  readonly api: string;
  /** The upstream's own model name. */
  readonly model: string;
  readonly stream: boolean;
  readonly body: Buffer;
  /** Headers of the caller, lower case; only those that the API passes on are used. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Time the caller allows for the whole exchange; clamped to the configured total. */
  readonly timeoutMs: number | undefined;
}

/** How an exchange with an upstream ended. Never a rejection: every ending is one of these. */
export type Exchange = {
  readonly usage: Usage;
  /** The upstream's own status, when it answered. */
  readonly status: number | undefined;
  /** Milliseconds spent waiting for the upstream. */
  readonly waitedMs: number;
} & (
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
    }
  | {
      /** The caller left; the upstream request was aborted. `started`: it had received the beginning of a 2xx answer. */
      readonly kind: "gone";
      readonly started: boolean;
    }
);

/** Sends requests to the configured upstreams and passes their answers on as they come. */
export interface Upstreams {
  /** Resolves when the exchange is over, whichever way. `onReached` is called when the request is handed to a connection. */
  send(request: UpstreamRequest, reply: Reply): Promise<Exchange>;
  close(): Promise<void>;
}
