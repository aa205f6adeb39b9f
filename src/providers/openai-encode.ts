// A typed request as a chat completions body: https://platform.openai.com/docs/api-reference/chat/create

import {
  type CompleteRequest,
  type Document,
  type Image,
  type Message,
  type Part,
  type Reasoning,
  Reasoning_Effort,
  type ResponseFormat,
  Role,
  type Tool,
  type ToolChoice,
  ToolChoice_Mode,
  type ToolResult,
} from "../../gen/codygateway/v1/completions_pb.js";
import { InvalidRequestError } from "../errors.js";
import { defined } from "./answers.js";
import type { TypedApi } from "./typed.js";
import { base64, cannot, chatOf, refuse, withOptions } from "./typed-encode.js";

/** OpenAI's own API, or what servers make of it that speak like it. They take more sampling options, and older names. */
export type Dialect = "openai" | "fireworks" | "compatible";

/** What messages to people call them. */
export const dialectNames = { openai: "OpenAI", fireworks: "Fireworks", compatible: "this provider" } as const;

/** Most stop sequences that OpenAI and Fireworks take. */
const maxStops = 4;

export function createChatEncoder(dialect: Dialect): TypedApi["encode"] {
  const name = dialectNames[dialect];
  return (request, model, stream) => {
    const { system, messages } = chatOf(request, name);
    checkCommon(request, dialect);
    const encode = messageEncoder(dialect);
    const fields = {
      messages: [
        ...(system === "" ? [] : [{ role: "system", content: system }]),
        ...messages.flatMap((message, index) => encode(message, `chat.messages[${index}]`)),
      ],
      ...samplingOf(request),
      tools: request.tools.length > 0 ? request.tools.map(encodeTool) : undefined,
      tool_choice: request.toolChoice && encodeToolChoice(request.toolChoice),
      parallel_tool_calls: request.toolChoice?.allowParallel,
      response_format: request.responseFormat && encodeFormat(request.responseFormat),
      reasoning_effort: request.reasoning && encodeReasoning(request.reasoning, name),
      prediction: request.prediction === undefined ? undefined : { type: "content", content: request.prediction },
    };
    const capName = dialect === "openai" ? "max_completion_tokens" : "max_tokens";
    return withOwn(request, fields, { model, stream, dialect, capName });
  };
}

/** The native body, over whose fields stands what is the gateway's to say. */
export function withOwn(
  request: CompleteRequest,
  fields: Record<string, unknown>,
  own: { readonly model: string; readonly stream: boolean; readonly dialect: Dialect; readonly capName: string },
): Record<string, unknown> {
  const { model, stream, dialect, capName } = own;
  const asksForUsage = stream && dialect !== "fireworks";
  const ours = defined({
    model,
    stream,
    stream_options: asksForUsage ? { ...streamOptions(request), include_usage: true } : undefined,
    [capName]: request.maxOutputTokens,
  });
  return withOptions(request, fields, ours, [
    ...(request.maxOutputTokens === undefined ? [] : ["max_tokens", "max_completion_tokens"]),
    ...(stream ? [] : ["stream_options"]),
  ]);
}

/** What holds for chats and prompts alike. */
export function checkCommon(request: CompleteRequest, dialect: Dialect): void {
  const name = dialectNames[dialect];
  if (dialect === "openai") refuse(request, name, ["topK"]);
  if (dialect !== "compatible" && request.stopSequences.length > maxStops)
    throw cannot(name, "stop_sequences", `it takes at most ${maxStops}`);
  // More than one choice would be paid for, and only the first one answered.
  for (const option of ["n", "best_of"]) {
    const choices = request.providerOptions?.[option];
    if (choices !== undefined && choices !== null && choices !== 1)
      throw new InvalidRequestError(`${option} must be 1: there is one answer`, `provider_options.${option}`);
  }
}

export function samplingOf(request: CompleteRequest): Record<string, unknown> {
  return {
    temperature: request.temperature,
    top_p: request.topP,
    top_k: request.topK,
    stop: request.stopSequences.length > 0 ? request.stopSequences : undefined,
    // Within 2^53, as the API demands of its callers.
    seed: request.seed === undefined ? undefined : Number(request.seed),
    presence_penalty: request.presencePenalty,
    frequency_penalty: request.frequencyPenalty,
  };
}

function streamOptions({ providerOptions }: CompleteRequest): object {
  const options = providerOptions?.stream_options;
  return typeof options === "object" && options !== null ? options : {};
}

/** One typed message can become several: the results of tools are messages of their own. */
function messageEncoder(dialect: Dialect): (message: Message, path: string) => object[] {
  const name = dialectNames[dialect];

  const assistant = (parts: readonly Part[], path: string): object => {
    const texts: { type: "text"; text: string }[] = [];
    const calls: object[] = [];
    const thoughts: string[] = [];
    parts.forEach(({ kind }, index) => {
      const at = `${path}.parts[${index}]`;
      if (kind.case === "text") texts.push({ type: "text", text: kind.value });
      else if (kind.case === "toolUse") {
        const { id, name: tool, input, signature } = kind.value;
        if (signature !== "") throw cannot(name, `${at}.tool_use.signature`);
        calls.push({ id, type: "function", function: { name: tool, arguments: JSON.stringify(input ?? {}) } });
      } else if (kind.case === "thinking") {
        const { text, signature, redactedData } = kind.value;
        if (dialect === "openai" || signature !== "" || redactedData !== "") throw cannot(name, `${at}.thinking`);
        thoughts.push(text);
      } else throw new InvalidRequestError("the assistant has text, tool uses and thinking only", at);
    });
    return defined({
      role: "assistant",
      content: texts.length > 0 ? plain(texts) : calls.length > 0 ? null : "",
      reasoning_content: thoughts.length > 0 ? thoughts.join("") : undefined,
      tool_calls: calls.length > 0 ? calls : undefined,
    });
  };

  const user = (parts: readonly Part[], role: Role, path: string): object[] => {
    const results: object[] = [];
    const content: ContentPart[] = [];
    parts.forEach(({ kind }, index) => {
      const at = `${path}.parts[${index}]`;
      if (kind.case === "toolResult") results.push(encodeToolResult(kind.value, name, `${at}.tool_result`));
      else if (role === Role.TOOL) throw new InvalidRequestError("a tool has results only", at);
      else if (kind.case === "text") content.push({ type: "text", text: kind.value });
      else if (kind.case === "image") content.push(encodeImage(kind.value, `${at}.image`));
      else if (kind.case === "document") content.push(encodeDocument(kind.value, dialect, `${at}.document`));
      else throw new InvalidRequestError("users have text, images, documents and tool results only", at);
    });
    // Results come first: they must follow the tool calls that they answer.
    return [...results, ...(content.length > 0 ? [{ role: "user", content: plain(content) }] : [])];
  };

  return ({ role, parts }, path) => {
    if (role === Role.ASSISTANT) return [assistant(parts, path)];
    if (role === Role.USER || role === Role.TOOL) return user(parts, role, path);
    throw new InvalidRequestError("role must be user, assistant or tool", `${path}.role`);
  };
}

type ContentPart = { type: "text"; text: string } | { type: "image_url" | "file"; [key: string]: unknown };

/** One text as a string, which every server reads; several parts as they are. */
function plain(parts: readonly ContentPart[]): unknown {
  const [only] = parts;
  return parts.length === 1 && only?.type === "text" ? only.text : parts;
}

function encodeImage({ source, mediaType }: Image, path: string): ContentPart {
  if (source.case === "url") return { type: "image_url", image_url: { url: source.value } };
  if (source.case !== "data") throw new InvalidRequestError("an image needs data or a URL", path);
  return { type: "image_url", image_url: { url: `data:${mediaType};base64,${base64(source.value)}` } };
}

/** Files are PDF only: https://platform.openai.com/docs/guides/pdf-files */
function encodeDocument({ source, mediaType, title }: Document, dialect: Dialect, path: string): ContentPart {
  const name = dialectNames[dialect];
  if (dialect === "fireworks") throw cannot(name, path);
  if (source.case === "url") throw cannot(name, `${path}.url`);
  if (source.case !== "data") throw new InvalidRequestError("a document needs data", path);
  if (mediaType !== "application/pdf") throw cannot(name, `${path}.media_type`);
  const file = {
    filename: title === "" ? "document.pdf" : title,
    file_data: `data:${mediaType};base64,${base64(source.value)}`,
  };
  return { type: "file", file };
}

/** There is no field for failure, so the model is told in the text. */
function encodeToolResult({ toolUseId, parts, isError }: ToolResult, name: string, path: string): object {
  const texts = parts.map(({ kind }, index) => {
    if (kind.case !== "text") throw cannot(name, `${path}.parts[${index}].${kind.case ?? "kind"}`);
    return { type: "text" as const, text: kind.value };
  });
  const told = isError
    ? [{ type: "text" as const, text: `Error: ${texts.map(({ text }) => text).join("\n")}` }]
    : texts;
  return { role: "tool", tool_call_id: toolUseId, content: told.length > 0 ? plain(told) : "" };
}

function encodeTool(tool: Tool): object {
  return {
    type: "function",
    function: defined({
      name: tool.name,
      description: tool.description === "" ? undefined : tool.description,
      parameters: tool.inputSchema ?? { type: "object", properties: {} },
      strict: tool.strict,
    }),
  };
}

function encodeToolChoice({ mode, toolName }: ToolChoice): unknown {
  switch (mode) {
    case ToolChoice_Mode.AUTO:
      return "auto";
    case ToolChoice_Mode.NONE:
      return "none";
    case ToolChoice_Mode.ANY:
      return "required";
    case ToolChoice_Mode.TOOL:
      return { type: "function", function: { name: toolName } };
    default:
      throw new InvalidRequestError("mode must be auto, none, any or tool", "tool_choice.mode");
  }
}

export function encodeFormat({ format }: ResponseFormat): object {
  switch (format.case) {
    case "text":
      return { type: "text" };
    case "json":
      return { type: "json_object" };
    case "jsonSchema": {
      const { name, description, schema, strict } = format.value;
      const described = description === "" ? undefined : description;
      return { type: "json_schema", json_schema: defined({ name, description: described, schema, strict }) };
    }
    default:
      throw new InvalidRequestError("a format is required", "response_format");
  }
}

export function encodeReasoning({ amount }: Reasoning, name: string): string {
  if (amount.case === "budgetTokens") throw cannot(name, "reasoning.budget_tokens", "it knows efforts only");
  const effort = amount.case === "effort" ? efforts.get(amount.value) : undefined;
  if (effort === undefined) throw new InvalidRequestError("effort is required", "reasoning.effort");
  return effort;
}

const efforts = new Map<Reasoning_Effort, string>([
  [Reasoning_Effort.NONE, "none"],
  [Reasoning_Effort.MINIMAL, "minimal"],
  [Reasoning_Effort.LOW, "low"],
  [Reasoning_Effort.MEDIUM, "medium"],
  [Reasoning_Effort.HIGH, "high"],
  [Reasoning_Effort.MAX, "max"],
]);
