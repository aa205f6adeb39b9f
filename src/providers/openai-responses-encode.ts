// A typed request as a Responses body: https://platform.openai.com/docs/api-reference/responses/create

import {
  type CompleteRequest,
  type Document,
  type Image,
  type Message,
  type Part,
  type ResponseFormat,
  Role,
  type Tool,
  type ToolChoice,
  ToolChoice_Mode,
  type ToolResult,
} from "../../gen/codygateway/v1/completions_pb.js";
import { InvalidRequestError } from "../errors.js";
import { defined } from "./answers.js";
import { encodeReasoning } from "./openai-encode.js";
import { base64, cannot, chatOf, refuse, withOptions } from "./typed-encode.js";

const name = "OpenAI";

/** Models that OpenAI serves by this API only. */
const responsesOnly = /(^|\/)codex-|-codex|-pro(-|$)|deep-research|computer-use/i;

/**
 * Whether a request is for this API and not for chat completions: for what only it can do, unless the request also has
 * what only the other one can.
 */
export function needsResponses(request: CompleteRequest, model: string): boolean {
  if (request.input.case !== "chat") return false;
  if (responsesOnly.test(model)) return true;
  const { stopSequences, seed, presencePenalty, frequencyPenalty, prediction } = request;
  if (stopSequences.length > 0) return false;
  if ([seed, presencePenalty, frequencyPenalty, prediction].some((field) => field !== undefined)) return false;
  if (request.reasoning) return true;
  return request.input.value.messages.some(({ parts }) => parts.some(isForResponses));
}

function isForResponses({ kind }: Part): boolean {
  if (kind.case === "thinking") return true;
  if (kind.case === "document") return kind.value.source.case === "url";
  return kind.case === "toolResult" && kind.value.parts.some((part) => part.kind.case !== "text");
}

export function encodeResponses(request: CompleteRequest, model: string, stream: boolean): Record<string, unknown> {
  const { system, messages } = chatOf(request, name);
  refuse(request, name, ["topK", "seed", "presencePenalty", "frequencyPenalty", "prediction"]);
  if (request.stopSequences.length > 0) throw cannot(name, "stop_sequences", "with what else was asked for");
  const fields = {
    instructions: system === "" ? undefined : system,
    input: messages.flatMap((message, index) => encodeMessage(message, `chat.messages[${index}]`)),
    temperature: request.temperature,
    top_p: request.topP,
    tools: request.tools.length > 0 ? request.tools.map(encodeTool) : undefined,
    tool_choice: request.toolChoice && encodeToolChoice(request.toolChoice),
    parallel_tool_calls: request.toolChoice?.allowParallel,
    text: request.responseFormat && { format: encodeFormat(request.responseFormat) },
    reasoning: request.reasoning && { effort: encodeReasoning(request.reasoning, name) },
    // The caller keeps the conversation, thoughts included: nothing is left at OpenAI to refer to.
    store: false,
    include: ["reasoning.encrypted_content"],
  };
  const own = defined({ model, stream, max_output_tokens: request.maxOutputTokens });
  return withOptions(request, fields, own);
}

/** One typed message becomes several items: tools and thoughts are items of their own. */
function encodeMessage({ role, parts }: Message, path: string): object[] {
  if (role !== Role.USER && role !== Role.ASSISTANT && role !== Role.TOOL)
    throw new InvalidRequestError("role must be user, assistant or tool", `${path}.role`);
  const encode = role === Role.ASSISTANT ? encodeAssistantPart : encodeUserPart;
  const items = parts.map((part, index) => encode(part, `${path}.parts[${index}]`));
  return joined(items, role === Role.ASSISTANT ? "assistant" : "user");
}

type Encoded = { readonly content: object } | { readonly item: object };

/** Content that stands together is one message. */
function joined(encoded: readonly Encoded[], role: string): object[] {
  const items: object[] = [];
  let content: object[] | undefined;
  for (const each of encoded) {
    if ("item" in each) {
      items.push(each.item);
      content = undefined;
    } else if (content) content.push(each.content);
    else {
      content = [each.content];
      items.push({ role, content });
    }
  }
  return items;
}

function encodeAssistantPart({ kind }: Part, path: string): Encoded {
  switch (kind.case) {
    case "text":
      return { content: { type: "output_text", text: kind.value } };
    case "toolUse": {
      const { id, name: tool, input = {}, signature } = kind.value;
      if (signature !== "") throw cannot(name, `${path}.tool_use.signature`);
      return { item: { type: "function_call", call_id: id, name: tool, arguments: JSON.stringify(input) } };
    }
    case "thinking": {
      const { text, signature, redactedData } = kind.value;
      if (redactedData !== "") throw cannot(name, `${path}.thinking.redacted_data`);
      const [, id, encrypted] = /^(\w+)\.(.+)$/s.exec(signature) ?? [];
      if (id === undefined)
        throw new InvalidRequestError("thinking must have the signature it came with", `${path}.thinking.signature`);
      const summary = text === "" ? [] : [{ type: "summary_text", text }];
      return { item: { type: "reasoning", id, summary, encrypted_content: encrypted } };
    }
    default:
      throw new InvalidRequestError("the assistant has text, tool uses and thinking only", path);
  }
}

function encodeUserPart({ kind }: Part, path: string): Encoded {
  if (kind.case === "toolResult") return { item: encodeToolResult(kind.value, `${path}.tool_result`) };
  return { content: encodeContent({ kind } as Part, path) };
}

function encodeContent({ kind }: Part, path: string): object {
  switch (kind.case) {
    case "text":
      return { type: "input_text", text: kind.value };
    case "image":
      return encodeImage(kind.value, `${path}.image`);
    case "document":
      return encodeDocument(kind.value, `${path}.document`);
    default:
      throw new InvalidRequestError("users have text, images, documents and tool results only", path);
  }
}

function encodeImage({ source, mediaType }: Image, path: string): object {
  if (source.case === "url") return { type: "input_image", image_url: source.value };
  if (source.case !== "data") throw new InvalidRequestError("an image needs data or a URL", path);
  return { type: "input_image", image_url: `data:${mediaType};base64,${base64(source.value)}` };
}

/** Files are PDF only: https://platform.openai.com/docs/guides/pdf-files */
function encodeDocument({ source, mediaType, title }: Document, path: string): object {
  if (mediaType !== "" && mediaType !== "application/pdf") throw cannot(name, `${path}.media_type`);
  if (source.case === "url") {
    if (title !== "") throw cannot(name, `${path}.title`, "with a URL");
    return { type: "input_file", file_url: source.value };
  }
  if (source.case !== "data") throw new InvalidRequestError("a document needs data or a URL", path);
  return {
    type: "input_file",
    filename: title === "" ? "document.pdf" : title,
    file_data: `data:application/pdf;base64,${base64(source.value)}`,
  };
}

/** There is no field for failure, so the model is told in the text. */
function encodeToolResult({ toolUseId, parts, isError }: ToolResult, path: string): object {
  const content = parts.map((part, index) => encodeContent(part, `${path}.parts[${index}]`));
  const texts = parts.flatMap(({ kind }) => (kind.case === "text" ? [kind.value] : []));
  const onlyText = texts.length === parts.length;
  const told = isError ? [{ type: "input_text", text: "Error:" }, ...content] : content;
  const plain = isError ? `Error: ${texts.join("\n")}` : texts.join("\n");
  return { type: "function_call_output", call_id: toolUseId, output: onlyText ? plain : told };
}

/** Strict unless told otherwise, this API would refuse most schemas. */
function encodeTool(tool: Tool): object {
  return defined({
    type: "function",
    name: tool.name,
    description: tool.description === "" ? undefined : tool.description,
    parameters: tool.inputSchema ?? { type: "object", properties: {} },
    strict: tool.strict ?? false,
  });
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
      return { type: "function", name: toolName };
    default:
      throw new InvalidRequestError("mode must be auto, none, any or tool", "tool_choice.mode");
  }
}

function encodeFormat({ format }: ResponseFormat): object {
  switch (format.case) {
    case "text":
      return { type: "text" };
    case "json":
      return { type: "json_object" };
    case "jsonSchema": {
      const { name: schemaName, description, schema, strict } = format.value;
      const described = description === "" ? undefined : description;
      return defined({ type: "json_schema", name: schemaName, description: described, schema, strict });
    }
    default:
      throw new InvalidRequestError("a format is required", "response_format");
  }
}
