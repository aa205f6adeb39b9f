import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type CompleteRequest,
  CompleteRequestSchema,
  type PartSchema,
  Role,
} from "../../gen/codygateway/v1/completions_pb.js";
import type { Api, Provider } from "../../src/providers/provider.js";

export type PartKind = NonNullable<MessageInitShape<typeof PartSchema>["kind"]>;
export type RequestInit = MessageInitShape<typeof CompleteRequestSchema>;

/** The API of that name. */
export function apiOf(provider: Provider, name: string): Api {
  const api = provider.apis.find((one) => one.name === name);
  if (!api) throw new Error(`${provider.kind} has no ${name}`);
  return api;
}

/** A typed request; a conversation of one user message unless it says otherwise. */
export function makeRequest(init: RequestInit = {}): CompleteRequest {
  return create(CompleteRequestSchema, { model: "gateway/name", input: chat(user(text("Hello"))), ...init });
}

type MessageParts = { role: Role; parts: { kind: PartKind }[] };

export function chat(...messages: MessageParts[]): NonNullable<RequestInit["input"]> {
  return { case: "chat", value: { messages } };
}

const of =
  (role: Role) =>
  (...kinds: PartKind[]): MessageParts => ({ role, parts: kinds.map((kind) => ({ kind })) });

export const user = of(Role.USER);
export const assistant = of(Role.ASSISTANT);
export const tool = of(Role.TOOL);
export const nobody = of(Role.UNSPECIFIED);

export function text(value: string): PartKind {
  return { case: "text", value };
}

export const bytes = new Uint8Array(Buffer.from("%PDF-1.7 ÿ"));
export const encoded = Buffer.from(bytes).toString("base64");
