// OpenAI's chat completions, as OpenAI and Fireworks serve them: https://platform.openai.com/docs/api-reference/chat

import { type Answer, type Ask, countTokensOf, type Piece } from "../answer.js";
import {
  BadRequestError,
  countParts,
  type Frames,
  type Generation,
  list,
  number,
  object,
  sse,
  string,
  strings,
  textOf,
} from "./dialect.js";

/** `POST …/chat/completions`. `alwaysUsage`: the last event of a stream reports usage without being asked, as at Fireworks. */
export function openaiChat({ alwaysUsage }: { readonly alwaysUsage: boolean }): Generation {
  return {
    kind: "generation",
    read(body) {
      if (!Array.isArray(body.messages) || body.messages.length === 0)
        throw new BadRequestError("Missing required parameter: 'messages'.");
      const { messages } = body;
      const last = object(messages.at(-1));
      const choices = number(body.n) ?? 1;
      if (!Number.isInteger(choices) || choices < 1 || choices > 128) throw new BadRequestError("Invalid 'n'.");
      return {
        model: string(body.model) ?? "",
        prompt: textOf(last.content),
        inputTokens: countTokensOf(messages, body.tools),
        stream: body.stream === true,
        maxTokens: number(body.max_completion_tokens) ?? number(body.max_tokens),
        stops: strings(body.stop),
        tools: list(body.tools).map((tool) => {
          const { name, parameters } = object(object(tool).function);
          return { name: string(name) ?? "", schema: parameters };
        }),
        toolDemanded: string(object(object(body.tool_choice).function).name) ?? body.tool_choice === "required",
        afterTool: last.role === "tool",
        thinking: false,
        schema: schemaOf(object(body.response_format)),
        code: false,
        images: countParts(messages, "image_url", "file"),
        endUser: string(body.user) ?? string(body.safety_identifier),
        includeUsage: alwaysUsage || object(body.stream_options).include_usage === true,
        choices,
      };
    },
    whole: (ask, answer) => ({
      ...envelope(ask, answer, "chat.completion"),
      choices: choicesOf(ask, (index) => ({
        index,
        message: { role: "assistant", ...messageOf(answer.pieces), refusal: null },
        logprobs: null,
        finish_reason: finishReason(answer),
      })),
      ...(answer.usage && { usage: chatUsage(answer.usage) }),
    }),
    frames: (ask, answer) => chatFrames(ask, answer, alwaysUsage),
  };
}

function schemaOf(format: Readonly<Record<string, unknown>>): unknown {
  if (format.type === "json_schema") return object(format.json_schema).schema ?? {};
  return format.type === "json_object" ? { type: "object", properties: { answer: { type: "string" } } } : undefined;
}

/** Usage as chat completions and completions report it. */
export function chatUsage(usage: NonNullable<Answer["usage"]>): object {
  return {
    prompt_tokens: usage.inputTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: usage.inputTokens + usage.outputTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedInputTokens, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens, audio_tokens: 0 },
  };
}

/** `finish_reason` of chat completions and completions. */
export function finishReason({ finish }: Answer): string {
  return finish === "tool" ? "tool_calls" : finish;
}

/** One entry for each answer that was asked for. */
export function choicesOf<T>(ask: Ask, make: (index: number) => T): T[] {
  return Array.from({ length: ask.choices }, (_, index) => make(index));
}

function envelope(ask: Ask, answer: Answer, kind: string): object {
  return {
    id: `chatcmpl-demo${answer.number}`,
    object: kind,
    created: 1_700_000_000,
    model: ask.model,
    system_fingerprint: "fp_demo",
  };
}

function messageOf(pieces: readonly Piece[]): object {
  const tool = pieces.find((piece) => piece.kind === "tool");
  if (!tool) return { content: pieces.map((piece) => (piece.kind === "text" ? piece.text : "")).join("") };
  const json = pieces.map((piece) => (piece.kind === "tool" ? piece.json : "")).join("");
  const call = { id: `call_${tool.id}`, type: "function", function: { name: tool.name, arguments: json } };
  return { content: null, tool_calls: [call] };
}

function chatFrames(ask: Ask, answer: Answer, alwaysUsage: boolean): Frames {
  const head = envelope(ask, answer, "chat.completion.chunk");
  const noUsageYet = ask.includeUsage && !alwaysUsage ? { usage: null } : {};
  let toolBegun = false;
  const chunk = (delta: object, reason: string | null = null, more: object = noUsageYet): string =>
    choicesOf(ask, (index) =>
      sse({ ...head, choices: [{ index, delta, logprobs: null, finish_reason: reason }], ...more }),
    ).join("");
  const usage = answer.usage && ask.includeUsage ? chatUsage(answer.usage) : undefined;
  return {
    begin: () => chunk({ role: "assistant", content: "" }),
    piece(piece) {
      if (piece.kind !== "tool") return piece.kind === "text" ? chunk({ content: piece.text }) : "";
      const { id, name, json } = piece;
      const begun = toolBegun
        ? ""
        : chunk({
            tool_calls: [{ index: 0, id: `call_${id}`, type: "function", function: { name, arguments: "" } }],
          });
      toolBegun = true;
      return begun + chunk({ tool_calls: [{ index: 0, function: { arguments: json } }] });
    },
    finish: () =>
      chunk({}, finishReason(answer), alwaysUsage && usage ? { usage } : noUsageYet) +
      (usage && !alwaysUsage ? sse({ ...head, choices: [], usage }) : "") +
      sse("[DONE]"),
    error: (message) => sse({ error: { message, type: "server_error", param: null, code: null } }),
  };
}
