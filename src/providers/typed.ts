import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CompleteRequest,
  CompleteResponseSchema,
  Part,
  StreamCompleteResponseSchema,
} from "../../gen/codygateway/v1/completions_pb.js";

export type { CompleteRequest, Part };

/** An answer as `Complete` returns it; the gateway adds resolved model and rate limit. */
export type TypedAnswer = MessageInitShape<typeof CompleteResponseSchema>;

/** An event as `StreamComplete` sends it; the gateway adds resolved model and rate limit. */
export type TypedEvent = NonNullable<MessageInitShape<typeof StreamCompleteResponseSchema>["event"]>;

/** Translation between the typed RPCs and one native API. Pure. */
export interface TypedApi {
  /** Whether this API is the one for such a request, where the provider has several. Absent: it is. */
  takes?(request: CompleteRequest, model: string): boolean;
  /**
   * The native body, as a plain object ready for `JSON.stringify`. Throws `InvalidRequestError` with the field's path
   * (reason `CAPABILITY_MISSING` for what this API cannot do): nothing is dropped in silence.
   */
  encode(request: CompleteRequest, model: string, stream: boolean): Record<string, unknown>;
  /** The whole native answer. Throws when it is not one. */
  decode(body: unknown): TypedAnswer;
  /** A decoder for one stream. */
  decoder(): TypedDecoder;
}

/** Turns the payloads of one native stream into typed events: one `started` first, one `finished` last. */
export interface TypedDecoder {
  /** The events that this payload makes; none is normal. Throws when the payload is an error or no such event. */
  event(data: string): readonly TypedEvent[];
  /** The events still owed when the stream ended properly, `finished` among them unless it was returned before. */
  end(): readonly TypedEvent[];
}

/** Counting the input tokens of a typed request. */
export interface TypedCount {
  /** The native body. Throws `InvalidRequestError` as `TypedApi.encode` does. */
  encode(request: CompleteRequest, model: string): Record<string, unknown>;
  /** The count in the native answer. Throws when it is not one. */
  decode(body: unknown): number;
}

/** The upstream's answer cannot be read, or is an error; the message says which. */
export class UnreadableAnswerError extends Error {
  override readonly name = "UnreadableAnswerError";
}
