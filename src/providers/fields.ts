// Reading members of native request bodies: `null` is as good as absent, and what is wrong is said with the field's name.

import { InvalidRequestError } from "../errors.js";
import { type JsonObject, JsonSyntaxError, scanJsonObject } from "../lib/json.js";
import type { Edits } from "./provider.js";

/** The member, parsed. Undefined: absent or null. Throws `InvalidRequestError` when its text is no JSON. */
export function member(body: JsonObject, key: string): unknown {
  try {
    return body.get(key) ?? undefined;
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new InvalidRequestError(`${key} is not valid JSON`, key);
  }
}

/** A member that must be there and be a string with something in it. */
export function requiredString(body: JsonObject, key: string): string {
  const value = member(body, key);
  if (typeof value !== "string" || value === "") throw new InvalidRequestError(`${key} must be a string`, key);
  return value;
}

export function optionalBoolean(body: JsonObject, key: string): boolean | undefined {
  const value = member(body, key);
  if (value !== undefined && typeof value !== "boolean")
    throw new InvalidRequestError(`${key} must be true or false`, key);
  return value;
}

export function optionalNumber(body: JsonObject, key: string): number | undefined {
  const value = member(body, key);
  if (value !== undefined && !Number.isFinite(value)) throw new InvalidRequestError(`${key} must be a number`, key);
  return value as number | undefined;
}

/** A member that must be there and be an array; `message` is what callers are told when it is not there. */
export function requireArray(body: JsonObject, key: string, message: string): void {
  const kind = body.kind(key);
  if (kind === undefined || kind === "null") throw new InvalidRequestError(message, key);
  if (kind !== "array") throw new InvalidRequestError(`${key} must be an array`, key);
}

/**
 * Sets one member of a member that is an object, and leaves the object's other members as they are. The object is made
 * when it is not there.
 */
export function editNested(body: JsonObject, edits: Edits, key: string, inner: string, json: string): void {
  const kind = body.kind(key);
  if (kind === undefined || kind === "null") {
    edits.set(key, `{${JSON.stringify(inner)}:${json}}`);
    return;
  }
  if (kind !== "object") throw new InvalidRequestError(`${key} must be an object`, key);
  const nested = scanNested(body, key);
  if (nested.raw(inner) !== json) edits.set(key, nested.with(new Map([[inner, json]])).toString("utf8"));
}

/** Changes members of a member that is an object, and leaves its others as they are. Any other member is left alone. */
export function editInside(body: JsonObject, edits: Edits, key: string, change: (inner: JsonObject) => Edits): void {
  if (body.kind(key) !== "object") return;
  const nested = scanNested(body, key);
  const changes = change(nested);
  if (changes.size > 0) edits.set(key, nested.with(changes).toString("utf8"));
}

function scanNested(body: JsonObject, key: string): JsonObject {
  try {
    return scanJsonObject(Buffer.from(body.raw(key) ?? ""));
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new InvalidRequestError(`${key} is not valid JSON: ${error.message}`, key);
  }
}

/** Sets a string where the body does not have it already. */
export function editString(body: JsonObject, edits: Edits, key: string, value: string): void {
  if (body.kind(key) !== "string" || member(body, key) !== value) edits.set(key, JSON.stringify(value));
}

/** Removes these members where they are below zero: what existing Sourcegraph clients send for "not set". */
export function dropNegatives(body: JsonObject, edits: Edits, keys: readonly string[]): void {
  for (const key of keys) {
    const value = member(body, key);
    if (typeof value === "number" && value < 0) edits.set(key, undefined);
  }
}
