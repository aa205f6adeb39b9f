// A typed request as an Anthropic Messages body: https://platform.claude.com/docs/en/api/messages

import {
  type CompleteRequest,
  type Document,
  type Image,
  type Message,
  type Part,
  Reasoning_Effort,
  type ResponseFormat,
  Role,
  type Tool,
  type ToolChoice,
  ToolChoice_Mode,
} from "../../gen/codygateway/v1/completions_pb.js";
import { InvalidRequestError } from "../errors.js";
import { defined } from "./answers.js";
import { base64, cannot, chatOf, describedSchema, refuse, withOptions } from "./typed-encode.js";

const name = "Anthropic";

/** Anthropic demands `max_tokens`. Without one from the caller, the answer may have this many tokens beside its thinking. */
const defaultMaxTokens = 4096;
/** Least thinking budget that Anthropic takes. */
const minBudgetTokens = 1024;

export function encodeMessages(request: CompleteRequest, model: string, stream: boolean): Record<string, unknown> {
  refuse(request, name, ["seed", "presencePenalty", "frequencyPenalty", "prediction"]);
  if (request.temperature !== undefined && request.temperature > 1)
    throw cannot(name, "temperature", "it must be at most 1");
  const fields = {
    ...promptFields(request),
    temperature: request.temperature,
    top_p: request.topP,
    top_k: request.topK,
    stop_sequences: request.stopSequences.length > 0 ? request.stopSequences : undefined,
    max_tokens: defaultMaxTokens + (budgetTokens(request) ?? 0),
  };
  return withOptions(request, fields, defined({ model, stream, max_tokens: request.maxOutputTokens }));
}

/** The same request for `count_tokens`, which takes only what makes up the prompt. */
export function encodeCount(request: CompleteRequest, model: string): Record<string, unknown> {
  return { ...defined(promptFields(request)), model };
}

function promptFields(request: CompleteRequest): Record<string, unknown> {
  const { system, messages } = chatOf(request, name);
  return {
    system: system === "" ? undefined : system,
    messages: messages.map((message, index) => encodeMessage(message, `chat.messages[${index}]`)),
    tools: request.tools.length > 0 ? request.tools.map(encodeTool) : undefined,
    tool_choice: request.toolChoice && encodeToolChoice(request.toolChoice),
    ...reasoning(request),
  };
}

function encodeMessage({ role, parts }: Message, path: string): Record<string, unknown> {
  if (role !== Role.USER && role !== Role.ASSISTANT && role !== Role.TOOL)
    throw new InvalidRequestError("role must be user, assistant or tool", `${path}.role`);
  return {
    role: role === Role.ASSISTANT ? "assistant" : "user",
    content: parts.map((part, index) => encodePart(part, role, `${path}.parts[${index}]`)),
  };
}

function encodePart({ kind }: Part, role: Role, path: string): Record<string, unknown> {
  const isAssistant = role === Role.ASSISTANT;
  switch (kind.case) {
    case "text":
      return { type: "text", text: kind.value };
    case "image":
      if (isAssistant) throw cannot(name, `${path}.image`, "only users send images");
      return encodeImage(kind.value, `${path}.image`);
    case "document":
      if (isAssistant) throw cannot(name, `${path}.document`, "only users send documents");
      return encodeDocument(kind.value, `${path}.document`);
    case "toolUse":
      if (!isAssistant) throw new InvalidRequestError("only the assistant uses tools", `${path}.tool_use`);
      if (kind.value.signature !== "") throw cannot(name, `${path}.tool_use.signature`);
      return { type: "tool_use", id: kind.value.id, name: kind.value.name, input: kind.value.input ?? {} };
    case "toolResult": {
      if (isAssistant) throw new InvalidRequestError("the assistant has no tool results", `${path}.tool_result`);
      const { toolUseId, parts, isError } = kind.value;
      const content = parts.map((part, index) => encodePart(part, Role.USER, `${path}.tool_result.parts[${index}]`));
      return defined({
        type: "tool_result",
        tool_use_id: toolUseId,
        content: content.length > 0 ? content : undefined,
        is_error: isError || undefined,
      });
    }
    case "thinking": {
      if (!isAssistant) throw new InvalidRequestError("only the assistant thinks", `${path}.thinking`);
      const { text, signature, redactedData } = kind.value;
      if (redactedData !== "") return { type: "redacted_thinking", data: redactedData };
      return { type: "thinking", thinking: text, signature };
    }
    default:
      throw new InvalidRequestError("a part must be of some kind", path);
  }
}

const imageTypes = new Set(["image/jpeg", "image/png", "image/gif", "image/webp"]);

function encodeImage({ source, mediaType }: Image, path: string): Record<string, unknown> {
  if (source.case === "url") return { type: "image", source: { type: "url", url: source.value } };
  if (source.case !== "data") throw new InvalidRequestError("an image needs data or a URL", path);
  if (!imageTypes.has(mediaType)) throw cannot(name, `${path}.media_type`);
  return { type: "image", source: { type: "base64", media_type: mediaType, data: base64(source.value) } };
}

function encodeDocument({ source, mediaType, title }: Document, path: string): Record<string, unknown> {
  return defined({
    type: "document",
    source: documentSource(source, mediaType, path),
    title: title === "" ? undefined : title,
  });
}

function documentSource(source: Document["source"], mediaType: string, path: string): Record<string, unknown> {
  if (source.case === "url") {
    // By URL, Anthropic reads PDF files only.
    if (mediaType !== "" && mediaType !== "application/pdf") throw cannot(name, `${path}.media_type`);
    return { type: "url", url: source.value };
  }
  if (source.case !== "data") throw new InvalidRequestError("a document needs data or a URL", path);
  if (mediaType === "application/pdf") return { type: "base64", media_type: mediaType, data: base64(source.value) };
  if (mediaType === "text/plain")
    return { type: "text", media_type: mediaType, data: Buffer.from(source.value).toString("utf8") };
  throw cannot(name, `${path}.media_type`);
}

function encodeTool(tool: Tool): Record<string, unknown> {
  return defined({
    name: tool.name,
    description: tool.description === "" ? undefined : tool.description,
    input_schema: tool.inputSchema ?? { type: "object", properties: {} },
    strict: tool.strict,
  });
}

function encodeToolChoice({ mode, toolName, allowParallel }: ToolChoice): Record<string, unknown> {
  const disabled = allowParallel === undefined ? undefined : !allowParallel;
  switch (mode) {
    case ToolChoice_Mode.AUTO:
      return defined({ type: "auto", disable_parallel_tool_use: disabled });
    case ToolChoice_Mode.ANY:
      return defined({ type: "any", disable_parallel_tool_use: disabled });
    case ToolChoice_Mode.TOOL:
      return defined({ type: "tool", name: toolName, disable_parallel_tool_use: disabled });
    case ToolChoice_Mode.NONE:
      return { type: "none" };
    default:
      throw new InvalidRequestError("mode must be auto, none, any or tool", "tool_choice.mode");
  }
}

/** `thinking` and `output_config`. Efforts go to models that think adaptively, budgets to those before them. */
function reasoning(request: CompleteRequest): Record<string, unknown> {
  const format = request.responseFormat && encodeFormat(request.responseFormat);
  const amount = request.reasoning?.amount;
  const effort = amount?.case === "effort" ? amount.value : undefined;
  const level = effort === undefined ? undefined : efforts.get(effort);
  const outputConfig = defined({ effort: level, format });
  return {
    thinking: thinking(request, effort),
    output_config: Object.keys(outputConfig).length > 0 ? outputConfig : undefined,
  };
}

function thinking(request: CompleteRequest, effort: Reasoning_Effort | undefined): Record<string, unknown> | undefined {
  const budget = budgetTokens(request);
  if (budget !== undefined) return { type: "enabled", budget_tokens: budget };
  if (effort === undefined) return undefined;
  if (effort === Reasoning_Effort.NONE) return { type: "disabled" };
  if (!efforts.has(effort)) throw new InvalidRequestError("effort is required", "reasoning.effort");
  return { type: "adaptive" };
}

const efforts = new Map<Reasoning_Effort, string>([
  [Reasoning_Effort.MINIMAL, "low"],
  [Reasoning_Effort.LOW, "low"],
  [Reasoning_Effort.MEDIUM, "medium"],
  [Reasoning_Effort.HIGH, "high"],
  [Reasoning_Effort.MAX, "max"],
]);

function budgetTokens({ reasoning: asked, maxOutputTokens }: CompleteRequest): number | undefined {
  if (asked?.amount.case !== "budgetTokens") return undefined;
  const budget = asked.amount.value;
  const field = "reasoning.budget_tokens";
  if (budget < minBudgetTokens) throw cannot(name, field, `it must be at least ${minBudgetTokens}`);
  if (maxOutputTokens !== undefined && budget >= maxOutputTokens)
    throw new InvalidRequestError("budget_tokens must be less than max_output_tokens", field);
  return budget;
}

/** Anthropic holds the model to the schema whatever `strict` says, and has no place for the schema's name. */
function encodeFormat({ format }: ResponseFormat): Record<string, unknown> | undefined {
  switch (format.case) {
    case "text":
      return undefined;
    case "jsonSchema":
      return { type: "json_schema", schema: describedSchema(format.value) };
    case "json":
      throw cannot(name, "response_format.json", "it has JSON with a schema only");
    default:
      throw new InvalidRequestError("a format is required", "response_format");
  }
}
