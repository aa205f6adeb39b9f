// Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages

import { type Answer, type Ask, countImages, countTokensOf, type Piece } from "../answer.js";
import {
  BadRequestError,
  countParts,
  type Frames,
  type Generation,
  type Json,
  type Lookup,
  list,
  number,
  object,
  sse,
  string,
  strings,
  textOf,
  type Vendor,
} from "./dialect.js";

const errorTypes: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  529: "overloaded_error",
};

const models = ["claude-opus-5", "claude-sonnet-5", "claude-haiku-4-5", "claude-3-5-sonnet-20240620"];

/** Anthropic as a vendor. */
export const anthropic: Vendor = {
  name: "anthropic",
  requestIdHeader: "request-id",
  models,
  knows: (model) => /^claude-\d|^claude-(opus|sonnet|haiku|instant|fable|mythos)/.test(model),
  key: (headers) => string(headers["x-api-key"]) ?? string(headers.authorization)?.replace(/^Bearer /i, ""),
  error: (status, message) => ({
    type: "error",
    error: { type: errorTypes[status] ?? "api_error", message: message ?? defaultMessage(status) },
    request_id: null,
  }),
};

function defaultMessage(status: number): string {
  if (status === 529) return "Overloaded";
  if (status === 429) return "This request would exceed your organization's rate limit";
  return status === 401 ? "invalid x-api-key" : "Internal server error";
}

/** `POST /v1/messages`. */
export const anthropicMessages: Generation = {
  kind: "generation",
  read(body) {
    const messages = readMessages(body);
    if (number(body.max_tokens) === undefined) throw new BadRequestError("max_tokens: Field required");
    const last = object(messages.at(-1));
    const choice = object(body.tool_choice);
    return {
      model: string(body.model) ?? "",
      prompt: textOf(last.content),
      inputTokens: countTokensOf(body.system, messages, body.tools),
      stream: body.stream === true,
      maxTokens: number(body.max_tokens),
      stops: strings(body.stop_sequences),
      tools: list(body.tools).map((tool) => ({
        name: string(object(tool).name) ?? "",
        schema: object(tool).input_schema,
      })),
      toolDemanded: string(choice.name) ?? choice.type === "any",
      afterTool: countParts([last], "tool_result") > 0,
      thinking: ["enabled", "adaptive"].includes(string(object(body.thinking).type) ?? ""),
      schema: object(object(body.output_config).format).schema ?? object(body.output_format).schema,
      code: false,
      images: countParts(messages, "image", "document"),
      endUser: string(object(body.metadata).user_id),
      includeUsage: true,
      choices: 1,
    };
  },
  whole: (ask, answer) => ({
    ...envelope(ask, answer),
    content: contentOf(answer.pieces),
    stop_reason: stopReason(answer),
    stop_sequence: answer.stoppedAt ?? null,
    ...(answer.usage && { usage: { ...inputUsage(answer), ...outputUsage(answer) } }),
  }),
  frames: messageFrames,
};

/** `POST /v1/messages/count_tokens`. */
export const anthropicCountTokens: Lookup = {
  kind: "lookup",
  reply(body) {
    const messages = readMessages(body);
    const tokens =
      countTokensOf(body.system, messages, body.tools) + countImages(countParts(messages, "image", "document"));
    return {
      body: { input_tokens: tokens },
      prompt: textOf(object(messages.at(-1)).content),
      ...(typeof body.model === "string" && { model: body.model }),
    };
  },
};

/** `GET /v1/models`. */
export const anthropicModels: Lookup = {
  kind: "lookup",
  reply: () => ({
    body: {
      data: models.map((id) => ({ type: "model", id, display_name: id, created_at: "2025-01-01T00:00:00Z" })),
      has_more: false,
      first_id: models[0],
      last_id: models.at(-1),
    },
  }),
};

function readMessages(body: Json): readonly unknown[] {
  if (!Array.isArray(body.messages)) throw new BadRequestError("messages: Field required");
  if (body.messages.length === 0) throw new BadRequestError("messages: at least one message is required");
  for (const [index, message] of body.messages.entries()) {
    const { role } = object(message);
    if (role !== "user" && role !== "assistant")
      throw new BadRequestError(`messages.${index}.role: Input should be 'user' or 'assistant'`);
  }
  return body.messages;
}

function envelope(ask: Ask, answer: Answer): object {
  return { id: `msg_demo${answer.number}`, type: "message", role: "assistant", model: ask.model };
}

function inputUsage({ usage }: Answer): object {
  if (!usage) return {};
  const { inputTokens, cachedInputTokens, cacheWriteTokens } = usage;
  // Here, and only here, cached tokens stand beside the input and not within it.
  return {
    input_tokens: inputTokens - cachedInputTokens - cacheWriteTokens,
    cache_creation_input_tokens: cacheWriteTokens,
    cache_read_input_tokens: cachedInputTokens,
    service_tier: "standard",
  };
}

function outputUsage({ usage }: Answer): object {
  return usage
    ? { output_tokens: usage.outputTokens, output_tokens_details: { thinking_tokens: usage.reasoningTokens } }
    : {};
}

function stopReason({ finish, stoppedAt }: Answer): string {
  if (finish === "tool") return "tool_use";
  if (finish === "length") return "max_tokens";
  return stoppedAt === undefined ? "end_turn" : "stop_sequence";
}

function contentOf(pieces: readonly Piece[]): object[] {
  const joined = (kind: Piece["kind"]): string =>
    pieces.map((piece) => (piece.kind !== kind ? "" : piece.kind === "tool" ? piece.json : piece.text)).join("");
  const tool = pieces.find((piece) => piece.kind === "tool");
  const thinking = joined("thinking");
  return [
    ...(thinking === "" ? [] : [{ type: "thinking", thinking, signature: "ZGVtbw==" }]),
    ...(pieces.some((piece) => piece.kind === "text") ? [{ type: "text", text: joined("text") }] : []),
    ...(tool
      ? [{ type: "tool_use", id: `toolu_${tool.id}`, name: tool.name, input: JSON.parse(joined("tool")) as unknown }]
      : []),
  ];
}

function event(data: { type: string } & Record<string, unknown>): string {
  return sse(data, data.type);
}

function messageFrames(ask: Ask, answer: Answer): Frames {
  let open: Piece["kind"] | undefined;
  let index = -1;
  const close = (): string => {
    if (open === undefined) return "";
    const signature = { type: "content_block_delta", index, delta: { type: "signature_delta", signature: "ZGVtbw==" } };
    const closed = (open === "thinking" ? event(signature) : "") + event({ type: "content_block_stop", index });
    open = undefined;
    return closed;
  };
  const start = (piece: Piece): string => {
    if (open === piece.kind) return "";
    const before = close();
    open = piece.kind;
    index++;
    const begun = event({ type: "content_block_start", index, content_block: emptyBlock(piece) });
    return before + begun + (index === 0 ? event({ type: "ping" }) : "");
  };
  return {
    begin: () =>
      event({
        type: "message_start",
        message: {
          ...envelope(ask, answer),
          content: [],
          stop_reason: null,
          stop_sequence: null,
          ...(answer.usage && { usage: { ...inputUsage(answer), output_tokens: 1 } }),
        },
      }),
    piece: (piece) => start(piece) + event({ type: "content_block_delta", index, delta: deltaOf(piece) }),
    finish: () =>
      close() +
      event({
        type: "message_delta",
        delta: { stop_reason: stopReason(answer), stop_sequence: answer.stoppedAt ?? null },
        ...(answer.usage && { usage: outputUsage(answer) }),
      }) +
      event({ type: "message_stop" }),
    error: (message) => event({ type: "error", error: { type: "overloaded_error", message } }),
  };
}

function emptyBlock(piece: Piece): object {
  if (piece.kind === "tool") return { type: "tool_use", id: `toolu_${piece.id}`, name: piece.name, input: {} };
  return piece.kind === "thinking" ? { type: "thinking", thinking: "", signature: "" } : { type: "text", text: "" };
}

function deltaOf(piece: Piece): object {
  if (piece.kind === "tool") return { type: "input_json_delta", partial_json: piece.json };
  return piece.kind === "thinking"
    ? { type: "thinking_delta", thinking: piece.text }
    : { type: "text_delta", text: piece.text };
}
