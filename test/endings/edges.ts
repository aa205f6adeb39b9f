// The four ways to ask for a completion, each with what its caller is told in the words of the rules.

import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import {
  type CompleteRequest,
  CompleteRequestSchema,
  CompletionsService,
  Role,
} from "../../gen/codygateway/v1/completions_pb.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type Surface, surfaces } from "../helpers/surfaces.js";
import type { Kind } from "./rules.js";

/** What a caller was told. */
export interface Told {
  /** In the words of `Rule.http` or `Rule.rpc`. */
  readonly told: string;
  readonly retryAfter: number | undefined;
  /** `x-should-retry`. */
  readonly shouldRetry: string | undefined;
  /** All text that reached it. */
  readonly text: string;
  /** `ErrorInfo.reason`. */
  readonly reason?: string | undefined;
}

export interface Asking {
  /** Of the gateway. */
  readonly url: string;
  readonly token: string;
  /** Becomes the request id. */
  readonly id: string;
  readonly prompt: string;
  readonly kind: Kind;
  readonly deadlineMs: number | undefined;
  readonly signal: AbortSignal;
  /** Called when the first bytes of the answer have come. */
  readonly onBegun: () => void;
}

/** One way to ask one API. */
export interface Line {
  readonly name: string;
  readonly edge: "sourcegraph" | "sdk" | "rpc";
  /** Kind of the provider. */
  readonly provider: string;
  /** What its upstream has told of its tokens when its answer has begun, and whether it tells all when it is whole. */
  readonly tokens: { readonly soFar: "nothing" | "input" | "input and a part of the output"; readonly all: boolean };
  /** Another API of its provider, edge and protocol is the main one. */
  readonly minor: boolean;
  ask(asking: Asking): Promise<Told>;
}

const local = surfaces.find(({ name }) => name === "/openai/v1/chat/completions") as Surface;

/** All of them. `local` is an OpenAI-compatible upstream, which existing instances have no route for. */
export function lines(): readonly Line[] {
  const compatible: Surface = { ...local, name: "/local/v1/chat/completions", provider: "openai-compatible" };
  const http = [...surfaces, { ...compatible, path: () => compatible.name }].map(overHttp);
  const models = [
    ["anthropic", "anthropic/claude-sonnet-4-5"],
    ["openai", "openai/gpt-4o"],
    ["openai", "openai/gpt-5-codex"],
    ["google", "google/gemini-2.5-flash"],
    ["fireworks", "fireworks/accounts/fireworks/models/llama-v3p1-70b-instruct"],
    ["openai-compatible", "local/gpt-4o"],
  ] as const;
  const rpc = (["connect", "grpc"] as const).flatMap((protocol) =>
    models.map(([provider, model]) => overRpc(protocol, provider, model)),
  );
  const all = [...http, ...rpc];
  const kin = (one: Line, other: Line): boolean =>
    one.edge === other.edge && one.provider === other.provider && protocolOf(one) === protocolOf(other);
  return all.map((line, at) => ({ ...line, minor: all.findIndex((other) => kin(line, other)) < at }));
}

function protocolOf({ edge, name }: Line): string {
  return edge === "rpc" ? name.slice(0, name.indexOf(" ")) : edge;
}

function tokensOf(provider: string, path: string): Line["tokens"] {
  // Anthropic's oldest API counts nothing.
  if (path === "/v1/completions/anthropic") return { soFar: "nothing", all: false };
  if (provider === "anthropic") return { soFar: "input", all: true };
  if (provider === "google") return { soFar: "input and a part of the output", all: true };
  return { soFar: "nothing", all: true };
}

function overHttp(surface: Surface): Line {
  const { name, edge, provider } = surface;
  return {
    name,
    edge,
    provider,
    tokens: tokensOf(provider, name),
    minor: false,
    async ask({ url, token, id, prompt, kind, deadlineMs, signal, onBegun }) {
      const model = modelOf(id);
      const path = surface.path(kind === "stream").replace(/models\/[^:]+:/, `models/${model}:`);
      const answer = await fetch(url + path, {
        method: "POST",
        headers: {
          authorization: `Bearer ${token}`,
          "x-request-id": id,
          "x-sourcegraph-feature": "chat_completions",
          ...(deadlineMs !== undefined && { "x-timeout-ms": String(deadlineMs) }),
        },
        body: surface.body(prompt, kind === "stream").replace(/"model":"[^"]*"/, `"model":"${model}"`),
        signal,
      }).catch(() => undefined);
      if (!answer) return { told: "left", retryAfter: undefined, shouldRetry: undefined, text: "" };
      let text = "";
      let end = "";
      try {
        const decoder = new TextDecoder();
        for await (const chunk of answer.body ?? []) {
          text += decoder.decode(chunk as Uint8Array, { stream: true });
          onBegun();
        }
      } catch {
        end = ", broken";
      }
      const type = answer.headers.get("content-type") ?? "";
      const failed = type.startsWith("text/event-stream") && errorEvent.test(text);
      const retryAfter = answer.headers.get("retry-after");
      return {
        told: signal.aborted ? "left" : `${answer.status}${failed ? " error event" : ""}${end}`,
        retryAfter: retryAfter === null ? undefined : Number(retryAfter),
        shouldRetry: answer.headers.get("x-should-retry") ?? undefined,
        text: text + JSON.stringify([...answer.headers]),
      };
    },
  };
}

/** A model of its own for each request: none is taken out of use for what others of its kind went through. */
function modelOf(id: string): string {
  return `demo-${id}`;
}

const errorEvent = /\n(event: error\n)?data: \{.*("error":\s*\{|"type":\s*"error").*\}\s*$/;

const clients = new Map<string, Client<typeof CompletionsService>>();

/** One client for all calls of a protocol to a gateway: as callers share theirs. */
function clientOf(protocol: "connect" | "grpc", baseUrl: string): Client<typeof CompletionsService> {
  const known = clients.get(protocol + baseUrl);
  if (known) return known;
  const transport: Transport =
    protocol === "grpc" ? createGrpcTransport({ baseUrl }) : createConnectTransport({ baseUrl, httpVersion: "1.1" });
  const client = createClient(CompletionsService, transport);
  clients.set(protocol + baseUrl, client);
  return client;
}

function overRpc(protocol: "connect" | "grpc", provider: string, model: string): Line {
  return {
    name: `${protocol} ${model}`,
    edge: "rpc",
    provider,
    tokens: tokensOf(provider, ""),
    minor: false,
    async ask({ url, token, id, prompt, kind, deadlineMs, signal, onBegun }) {
      const deadline =
        protocol === "grpc" ? { "grpc-timeout": `${deadlineMs}m` } : { "connect-timeout-ms": `${deadlineMs}` };
      const options = {
        headers: {
          authorization: `Bearer ${token}`,
          "x-request-id": id,
          // Not by the client's own means, which would leave before it is told.
          ...(deadlineMs !== undefined && deadline),
        },
        signal,
      };
      const { completions } = { completions: clientOf(protocol, url) };
      const request: CompleteRequest = create(CompleteRequestSchema, {
        // By its name OpenAI's API is chosen.
        model: model.includes("codex") ? model : `${model.slice(0, model.indexOf("/"))}/${modelOf(id)}`,
        input: {
          case: "chat",
          value: { messages: [{ role: Role.USER, parts: [{ kind: { case: "text", value: prompt } }] }] },
        },
      });
      const seen: string[] = [];
      try {
        if (kind === "whole") await completions.complete(request, options);
        else
          for await (const { event } of completions.streamComplete({ completion: request }, options)) {
            seen.push(event.case ?? "");
            onBegun();
          }
        const whole = kind === "whole" || (seen[0] === "started" && seen.indexOf("finished") === seen.length - 1);
        return { told: whole ? "ok" : "no end", retryAfter: undefined, shouldRetry: undefined, text: "" };
      } catch (cause) {
        return toldBy(ConnectError.from(cause), seen, signal);
      }
    },
  };
}

function toldBy(error: ConnectError, seen: readonly string[], signal: AbortSignal): Told {
  const code = Code[error.code].replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
  const [retry] = error.findDetails(RetryInfoSchema);
  const inside = seen.length === 0 ? "" : " inside";
  return {
    told: signal.aborted ? "left" : `${code}${inside}${seen.includes("finished") ? " after the end" : ""}`,
    retryAfter: retry?.retryDelay && Number(retry.retryDelay.seconds) + retry.retryDelay.nanos / 1e9,
    shouldRetry: error.metadata.get("x-should-retry") ?? undefined,
    text: error.message + JSON.stringify([...error.metadata]),
    reason: error.findDetails(ErrorInfoSchema)[0]?.reason,
  };
}
