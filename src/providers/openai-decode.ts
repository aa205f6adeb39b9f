// Chat completions answers as typed ones: https://platform.openai.com/docs/api-reference/chat-streaming

import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import {
  StreamCompleteResponse_PartKind as PartKind,
  type PartSchema,
  Role,
  StopReason,
} from "../../gen/codygateway/v1/completions_pb.js";
import { isObject, type Json, oneLine } from "./answers.js";
import { isDone, openaiUsage } from "./openai-usage.js";
import type { Usage } from "./provider.js";
import { type TypedAnswer, type TypedDecoder, UnreadableAnswerError } from "./typed.js";
import { arrayIn, createEventWriter, objectIn, payloadOf, stringIn } from "./typed-events.js";

type PartInit = MessageInitShape<typeof PartSchema>;

export function decodeChat(body: unknown): TypedAnswer {
  const answer = objectIn(body, "completion");
  const id = stringIn(answer.id ?? "", "id");
  const choice = objectIn(arrayIn(answer.choices, "choices")[0], "choice");
  const message = objectIn(choice.message, "message");
  const parts: PartInit[] = [];
  const thinking = thoughtIn(message);
  if (thinking !== "") parts.push({ kind: { case: "thinking", value: { text: thinking } } });
  const text = textIn(message.content);
  if (text !== "") parts.push({ kind: { case: "text", value: text } });
  const refusal = textIn(message.refusal);
  if (refusal !== "") parts.push({ kind: { case: "text", value: refusal } });
  arrayIn(message.tool_calls ?? [], "tool calls").forEach((call, index) => {
    const part = decodeToolCall(objectIn(call, "tool call"), `${id}_${index}`, choice.finish_reason === "length");
    if (part) parts.push(part);
  });
  return {
    id,
    message: { role: Role.ASSISTANT, parts },
    ...stopOf(choice, refusal !== ""),
    usage: openaiUsage(answer.usage),
  };
}

function decodeToolCall(call: Json, ownId: string, cutOff: boolean): PartInit | undefined {
  const called = objectIn(call.function, "function");
  const id = typeof call.id === "string" && call.id !== "" ? call.id : ownId;
  const name = stringIn(called.name, "function name");
  const input = inputIn(called.arguments);
  // The answer reached its token limit inside the arguments: there is no tool use that could be made of it.
  if (!input && cutOff) return undefined;
  if (!input) throw new UnreadableAnswerError("tool arguments are not a JSON object");
  return { kind: { case: "toolUse", value: { id, name, input } } };
}

/** Arguments are a JSON text; some servers send the object itself, or nothing where there are none. */
function inputIn(value: unknown): JsonObject | undefined {
  if (value === undefined || value === null || value === "") return {};
  try {
    const input: unknown = typeof value === "string" ? JSON.parse(value) : value;
    return isObject(input) ? (input as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

function textIn(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (!Array.isArray(value)) return stringIn(value, "content");
  return value.map((part) => (isObject(part) && typeof part.text === "string" ? part.text : "")).join("");
}

/** What the model thought: not OpenAI's, but what DeepSeek, vLLM (first name) and others (second) add to its format. */
function thoughtIn(message: Json): string {
  return textIn(message.reasoning_content ?? message.reasoning);
}

/** `refused`: the answer holds a refusal, for which there is no reason of its own. */
export function stopOf(choice: Json, refused: boolean): { stopReason: StopReason; stopSequence?: string } {
  const { finish_reason: reason, stop_reason: sequence } = choice;
  if (refused) return { stopReason: StopReason.REFUSAL };
  // vLLM says which sequence it was.
  if (reason === "stop" && typeof sequence === "string")
    return { stopReason: StopReason.STOP_SEQUENCE, stopSequence: sequence };
  if (reason === undefined || reason === null) return { stopReason: StopReason.UNSPECIFIED };
  return { stopReason: stops.get(reason) ?? StopReason.OTHER };
}

const stops = new Map<unknown, StopReason>([
  ["stop", StopReason.END_TURN],
  ["length", StopReason.MAX_TOKENS],
  ["tool_calls", StopReason.TOOL_USE],
  ["function_call", StopReason.TOOL_USE],
  ["content_filter", StopReason.CONTENT_FILTER],
]);

export function createChatDecoder(): TypedDecoder {
  const writer = createEventWriter();
  let id = "";
  let usage: Usage = {};
  let stop: ReturnType<typeof stopOf> | undefined;
  let refused = false;
  /** The open part of text or thinking: there is one at a time, and tool calls end it. */
  let prose: { index: number; kind: PartKind } | undefined;
  // Tool calls by the index that the server gives them. They stay open until the end: their deltas may alternate.
  const calls = new Map<number, number>();

  const endProse = (): void => {
    if (prose) writer.close(prose.index);
    prose = undefined;
  };

  const addProse = (kind: PartKind, text: string): void => {
    if (text === "") return;
    if (prose?.kind !== kind) {
      endProse();
      prose = { index: writer.open({ kind }), kind };
    }
    writer.add(prose.index, kind, text);
  };

  const addCall = (call: Json): void => {
    const called = isObject(call.function) ? call.function : {};
    const index = callIndex(call, called, calls.size);
    let part = calls.get(index);
    if (part === undefined) {
      endProse();
      const toolUseId = typeof call.id === "string" && call.id !== "" ? call.id : `${id}_${index}`;
      part = writer.open({ kind: PartKind.TOOL_USE, toolUseId, toolName: stringIn(called.name, "function name") });
      calls.set(index, part);
    }
    const { arguments: input } = called;
    if (input !== undefined && input !== null)
      writer.add(part, PartKind.TOOL_USE, typeof input === "string" ? input : JSON.stringify(input));
  };

  const start = (): void => {
    if (!writer.started) writer.start(id);
  };

  const finish = (): void => {
    start();
    writer.finish({ ...(stop ?? { stopReason: StopReason.UNSPECIFIED }), usage });
  };

  return {
    event(data) {
      if (writer.finished || data.trim() === "") return [];
      if (isDone(data)) {
        finish();
        return writer.take();
      }
      const chunk = payloadOf(data);
      refuseError(chunk);
      const choices = arrayIn(chunk.choices, "choices");
      if (id === "") id = stringIn(chunk.id ?? "", "id");
      // Azure's first chunk has neither choices nor an id.
      if (id !== "" || choices.length > 0) start();
      usage = { ...usage, ...openaiUsage(chunk.usage) };
      if (choices.length > 0) {
        const choice = objectIn(choices[0], "choice");
        const delta = objectIn(choice.delta ?? {}, "delta");
        addProse(PartKind.THINKING, thoughtIn(delta));
        addProse(PartKind.TEXT, textIn(delta.content));
        const refusal = textIn(delta.refusal);
        refused ||= refusal !== "";
        addProse(PartKind.TEXT, refusal);
        for (const call of arrayIn(delta.tool_calls ?? [], "tool calls")) addCall(objectIn(call, "tool call"));
        if (choice.finish_reason !== undefined && choice.finish_reason !== null) stop = stopOf(choice, refused);
      }
      return writer.take();
    },
    end() {
      if (writer.finished) return writer.take();
      if (!stop) throw new UnreadableAnswerError("the answer ends before its end");
      finish();
      return writer.take();
    },
  };
}

/** Throws when the chunk reports an error. */
export function refuseError({ error }: Json): void {
  if (error === undefined || error === null) return;
  const words = oneLine(isObject(error) ? error.message : error);
  throw new UnreadableAnswerError(`the upstream reports an error: ${words ?? "it does not say which"}`);
}

/** Servers that give no index send each call whole, by its name, or go on with the last one. */
function callIndex(call: Json, called: Json, known: number): number {
  if (typeof call.index === "number") return call.index;
  return typeof called.name === "string" && called.name !== "" ? known : Math.max(0, known - 1);
}
