// A typed request as a Gemini body: https://ai.google.dev/api/generate-content

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
  ToolChoice_Mode,
  type ToolResult,
} from "../../gen/codygateway/v1/completions_pb.js";
import { InvalidRequestError } from "../errors.js";
import { defined, isObject } from "./answers.js";
import { base64, cannot, chatOf, describedSchema, refuse, withOptions } from "./typed-encode.js";

const name = "Google";

export function encodeGenerate(request: CompleteRequest, model: string): Record<string, unknown> {
  refuse(request, name, ["prediction"]);
  return withOptions(request, promptFields(request), { generationConfig: generationConfig(request, model) }, elsewhere);
}

/** The same request as `countTokens` takes it: whole, so that system instruction and tools count. */
export function encodeCount(request: CompleteRequest, model: string): Record<string, unknown> {
  return { generateContentRequest: { ...defined(promptFields(request)), model: `models/${model}` } };
}

/** What the path says, or this encoder in another spelling of the same field. */
const elsewhere = ["model", "generation_config", "stream"];

function promptFields(request: CompleteRequest): Record<string, unknown> {
  const { system, messages } = chatOf(request, name);
  const { tools } = request;
  return {
    systemInstruction: system === "" ? undefined : { parts: [{ text: system }] },
    contents: encodeMessages(messages),
    tools: tools.length > 0 ? [{ functionDeclarations: tools.map(encodeTool) }] : undefined,
    toolConfig: toolConfig(request),
  };
}

function encodeMessages(messages: readonly Message[]): object[] {
  // Results name their tool here, and typed ones only the use of it.
  const names = new Map<string, string>();
  return messages.map(({ role, parts }, index) => {
    const path = `chat.messages[${index}]`;
    if (role !== Role.USER && role !== Role.ASSISTANT && role !== Role.TOOL)
      throw new InvalidRequestError("role must be user, assistant or tool", `${path}.role`);
    const encode = role === Role.ASSISTANT ? encodeAssistantPart : encodeUserPart;
    return {
      role: role === Role.ASSISTANT ? "model" : "user",
      parts: parts.map((part, at) => encode(part, `${path}.parts[${at}]`, names)),
    };
  });
}

function encodeAssistantPart({ kind }: Part, path: string, names: Map<string, string>): object {
  switch (kind.case) {
    case "text":
      return { text: kind.value };
    case "thinking": {
      const { text, signature, redactedData } = kind.value;
      if (redactedData !== "") throw cannot(name, `${path}.thinking.redacted_data`);
      // Without a text it is the signature of what was answered, not of a thought.
      if (text === "") return { text: "", thoughtSignature: signature };
      return defined({ text, thought: true, thoughtSignature: signature === "" ? undefined : signature });
    }
    case "toolUse": {
      const { id, name: tool, input = {}, signature } = kind.value;
      names.set(id, tool);
      return defined({
        functionCall: { id, name: tool, args: input },
        thoughtSignature: signature === "" ? undefined : signature,
      });
    }
    default:
      throw new InvalidRequestError("the assistant has text, tool uses and thinking only", path);
  }
}

function encodeUserPart({ kind }: Part, path: string, names: ReadonlyMap<string, string>): object {
  switch (kind.case) {
    case "text":
      return { text: kind.value };
    case "image":
      return encodeMedia(kind.value, `${path}.image`);
    case "document":
      return encodeMedia(kind.value, `${path}.document`);
    case "toolResult":
      return { functionResponse: encodeToolResult(kind.value, `${path}.tool_result`, names) };
    default:
      throw new InvalidRequestError("users have text, images, documents and tool results only", path);
  }
}

function encodeMedia(media: Image | Document, path: string): object {
  const { source, mediaType } = media;
  if ("title" in media && media.title !== "") throw cannot(name, `${path}.title`);
  if (source.case === "url")
    return { fileData: defined({ fileUri: source.value, mimeType: mediaType === "" ? undefined : mediaType }) };
  if (source.case !== "data") throw new InvalidRequestError("data or a URL is needed", path);
  return { inlineData: { mimeType: mediaType, data: base64(source.value) } };
}

function encodeToolResult(result: ToolResult, path: string, names: ReadonlyMap<string, string>): object {
  const { toolUseId, parts, isError } = result;
  const tool = names.get(toolUseId);
  if (tool === undefined)
    throw new InvalidRequestError("tool_use_id must be that of a tool use before it", `${path}.tool_use_id`);
  const texts: string[] = [];
  const media: object[] = [];
  parts.forEach(({ kind }, index) => {
    const at = `${path}.parts[${index}]`;
    if (kind.case === "text") texts.push(kind.value);
    else if (kind.case !== "image" && kind.case !== "document") throw cannot(name, at);
    else if (kind.value.source.case === "url") throw cannot(name, `${at}.${kind.case}.url`);
    else media.push(encodeMedia(kind.value, `${at}.${kind.case}`));
  });
  return defined({
    id: toolUseId,
    name: tool,
    response: { [isError ? "error" : "output"]: texts.join("\n") },
    parts: media.length > 0 ? media : undefined,
  });
}

function encodeTool({ name: tool, description, inputSchema }: Tool): object {
  return defined({
    name: tool,
    description: description === "" ? undefined : description,
    parametersJsonSchema: inputSchema,
  });
}

function toolConfig({ toolChoice, tools }: CompleteRequest): object | undefined {
  if (toolChoice?.allowParallel === false) throw cannot(name, "tool_choice.allow_parallel");
  const mode = toolChoice?.mode;
  const strict = tools.some((tool) => tool.strict === true);
  if (mode === undefined || mode === ToolChoice_Mode.AUTO) {
    if (strict) return { functionCallingConfig: { mode: "VALIDATED" } };
    return mode && { functionCallingConfig: { mode: "AUTO" } };
  }
  // Where a tool must be called, its schema is kept to anyway.
  if (mode === ToolChoice_Mode.ANY) return { functionCallingConfig: { mode: "ANY" } };
  if (mode === ToolChoice_Mode.NONE) return { functionCallingConfig: { mode: "NONE" } };
  if (mode === ToolChoice_Mode.TOOL)
    return { functionCallingConfig: { mode: "ANY", allowedFunctionNames: [toolChoice?.toolName] } };
  throw new InvalidRequestError("mode must be auto, none, any or tool", "tool_choice.mode");
}

/** Options within it are the caller's own, but for the token cap. */
function generationConfig(request: CompleteRequest, model: string): object | undefined {
  const { providerOptions } = request;
  if (providerOptions && "generation_config" in providerOptions)
    throw new InvalidRequestError("expected it as generationConfig", "provider_options.generation_config");
  const options = providerOptions?.generationConfig;
  if (options !== undefined && !isObject(options))
    throw new InvalidRequestError("generationConfig must be an object", "provider_options.generationConfig");
  // More than one answer would be paid for, and only the first one told.
  if (options?.candidateCount !== undefined && options.candidateCount !== 1)
    throw new InvalidRequestError("candidateCount must be 1", "provider_options.generationConfig.candidateCount");
  const config = defined({
    temperature: request.temperature,
    topP: request.topP,
    topK: request.topK,
    stopSequences: request.stopSequences.length > 0 ? request.stopSequences : undefined,
    seed: request.seed === undefined ? undefined : Number(request.seed),
    presencePenalty: request.presencePenalty,
    frequencyPenalty: request.frequencyPenalty,
    thinkingConfig: thinkingConfig(request, model),
    ...(request.responseFormat && encodeFormat(request.responseFormat)),
    ...options,
    ...(request.maxOutputTokens !== undefined && { maxOutputTokens: request.maxOutputTokens }),
  });
  return Object.keys(config).length > 0 ? config : undefined;
}

function encodeFormat({ format }: ResponseFormat): object {
  switch (format.case) {
    case "text":
      return {};
    case "json":
      return { responseMimeType: "application/json" };
    case "jsonSchema":
      // The model is held to the schema whatever `strict` says.
      return { responseMimeType: "application/json", responseJsonSchema: describedSchema(format.value) };
    default:
      throw new InvalidRequestError("a format is required", "response_format");
  }
}

/** Models up to the second generation take budgets, those after them levels: https://ai.google.dev/gemini-api/docs/thinking */
function thinkingConfig({ reasoning }: CompleteRequest, model: string): object | undefined {
  if (!reasoning) return undefined;
  const { amount } = reasoning;
  if (amount.case === "budgetTokens") return { thinkingBudget: amount.value, includeThoughts: true };
  if (amount.case !== "effort") throw new InvalidRequestError("effort is required", "reasoning.effort");
  const effort = efforts.get(amount.value);
  if (!effort) throw new InvalidRequestError("effort is required", "reasoning.effort");
  if (amount.value === Reasoning_Effort.NONE) return { thinkingBudget: 0 };
  const amountOf = /gemini-[12]\b/.test(model) ? { thinkingBudget: effort.budget } : { thinkingLevel: effort.level };
  return { ...amountOf, includeThoughts: true };
}

/** Budgets as Google's own OpenAI-compatible API sets them; -1 leaves the budget to the model. */
const efforts = new Map<Reasoning_Effort, { level: string; budget: number }>([
  [Reasoning_Effort.NONE, { level: "minimal", budget: 0 }],
  [Reasoning_Effort.MINIMAL, { level: "minimal", budget: 1024 }],
  [Reasoning_Effort.LOW, { level: "low", budget: 1024 }],
  [Reasoning_Effort.MEDIUM, { level: "medium", budget: 8192 }],
  [Reasoning_Effort.HIGH, { level: "high", budget: 24_576 }],
  [Reasoning_Effort.MAX, { level: "high", budget: 24_576 }],
]);
