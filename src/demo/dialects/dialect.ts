import type { Answer, Ask, Piece } from "../answer.js";

/** The vendors the demo upstream stands in for. */
export type VendorName = "anthropic" | "openai" | "google" | "fireworks";

/** A JSON object nobody has looked at yet. */
export type Json = Readonly<Record<string, unknown>>;

/** The request is not what the API takes; answered with 400 and this message. */
export class BadRequestError extends Error {
  override readonly name = "BadRequestError";
}

/** Writes one streamed answer as event texts, in the order `begin`, `piece` …, `finish`; `error` at any time. */
export interface Frames {
  begin(): string;
  piece(piece: Piece): string;
  /** Everything after the last delta, the end mark included. */
  finish(): string;
  /** The vendor's error inside a stream. */
  error(message: string): string;
}

/** An operation that produces text. Pure. */
export interface Generation {
  readonly kind: "generation";
  /** Throws `BadRequestError`. `model` is the one in the path, if the path names one. */
  read(body: Json, model: string | undefined, stream: boolean): Ask;
  whole(ask: Ask, answer: Answer): object;
  frames(ask: Ask, answer: Answer): Frames;
}

/** An operation answered at once: embeddings, token counts, model lists. Pure. */
export interface Lookup {
  readonly kind: "lookup";
  /** Throws `BadRequestError`. */
  reply(body: Json, model: string | undefined): LookupReply;
}

/** The answer to a lookup. */
export interface LookupReply {
  readonly body: object;
  readonly model?: string;
  /** The text in which directives may stand. */
  readonly prompt?: string;
  readonly endUser?: string | undefined;
  readonly inputTokens?: number;
}

/** How a vendor authenticates, reports errors and names its models. */
export interface Vendor {
  readonly name: VendorName;
  /** The credential the request shows. */
  key(headers: Readonly<Record<string, string | string[] | undefined>>, url: URL): string | undefined;
  error(status: number, message: string | undefined): object;
  /** The header that carries the vendor's request id. */
  readonly requestIdHeader: string;
  readonly models: readonly string[];
  /** Whether the vendor has a model of this name: those listed and the families they belong to. */
  knows(model: string): boolean;
}

/** An event of a stream: named, or data alone. */
export function sse(data: object | string, event?: string): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return event === undefined ? `data: ${text}\n\n` : `event: ${event}\ndata: ${text}\n\n`;
}

/** The member as an array; none when it is no array. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The member as an object; an empty one when it is none. */
export function object(value: unknown): Json {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Json) : {};
}

/** The member as a string, if it is one. */
export function string(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The member as a number, if it is one. */
export function number(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

/** One string or several. */
export function strings(value: unknown): readonly string[] {
  return (Array.isArray(value) ? value : [value]).filter((item): item is string => typeof item === "string");
}

/** The text of a content that is a string or a list of parts. */
export function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  return list(content)
    .map((part) => string(object(part).text) ?? textOf(object(part).content))
    .join("");
}

/** How many parts of these types the messages hold. */
export function countParts(messages: readonly unknown[], ...types: readonly string[]): number {
  return messages
    .flatMap((message) => list(object(message).content))
    .filter((part) => types.includes(string(object(part).type) ?? "")).length;
}
