// What the encoders of typed requests have in common.

import type { Chat, CompleteRequest, ResponseFormat_JsonSchema } from "../../gen/codygateway/v1/completions_pb.js";
import { InvalidRequestError } from "../errors.js";

/** The provider cannot do what this field asks for. */
export function cannot(provider: string, field: string, detail?: string): InvalidRequestError {
  return new InvalidRequestError(
    `${field} is not supported by ${provider}${detail === undefined ? "" : `: ${detail}`}`,
    field,
    "CAPABILITY_MISSING",
  );
}

/** The conversation; chat models have no other input. */
export function chatOf(request: CompleteRequest, provider: string): Chat {
  if (request.input.case === "chat") return request.input.value;
  if (request.input.case === "prompt") throw cannot(provider, "prompt", "its models take chat only");
  throw new InvalidRequestError("input is required", "input");
}

/** Throws when one of these optional fields is set. */
export function refuse(request: CompleteRequest, provider: string, fields: readonly (keyof typeof fieldNames)[]): void {
  for (const field of fields) if (request[field] !== undefined) throw cannot(provider, fieldNames[field]);
}

const fieldNames = {
  seed: "seed",
  topK: "top_k",
  presencePenalty: "presence_penalty",
  frequencyPenalty: "frequency_penalty",
  prediction: "prediction",
} as const;

/**
 * The native body: the typed fields, over them the caller's own options, over those what the gateway rules on. One level
 * deep: an option replaces a field of its name as a whole. `dropped` are options that would say an `own` field otherwise.
 */
export function withOptions(
  request: CompleteRequest,
  fields: Record<string, unknown>,
  own: Record<string, unknown>,
  dropped: readonly string[] = [],
): Record<string, unknown> {
  const options = Object.entries(request.providerOptions ?? {}).filter(([key]) => !dropped.includes(key));
  // Object.fromEntries and spreading define members, so that `__proto__` is a name like any other.
  return { ...fields, ...Object.fromEntries(options), ...own };
}

/** A schema of an answer for APIs that have no other place for what it is for. */
export function describedSchema({ schema = {}, description }: ResponseFormat_JsonSchema): object {
  return description !== "" && !("description" in schema) ? { ...schema, description } : schema;
}

export function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
}
