// Responses as typed answers: https://platform.openai.com/docs/api-reference/responses/object
// Items that the typed API has no part for, such as searches that OpenAI made itself, are left out.

import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { type PartSchema, Role, StopReason } from "../../gen/codygateway/v1/completions_pb.js";
import { isObject, type Json, oneLine } from "./answers.js";
import { responsesUsage } from "./openai-responses-usage.js";
import { type TypedAnswer, UnreadableAnswerError } from "./typed.js";
import { arrayIn, objectIn, stringIn } from "./typed-events.js";

type PartInit = MessageInitShape<typeof PartSchema>;

export function decodeResponse(body: unknown): TypedAnswer {
  const response = objectIn(body, "response");
  const items = arrayIn(response.output, "output").map((item) => objectIn(item, "item"));
  const stop = stopOf(response, items);
  const cutOff = stop === StopReason.MAX_TOKENS;
  return {
    id: stringIn(response.id ?? "", "id"),
    message: { role: Role.ASSISTANT, parts: items.flatMap((item) => partsOf(item, cutOff)) },
    stopReason: stop,
    usage: responsesUsage(response.usage),
  };
}

function partsOf(item: Json, cutOff: boolean): PartInit[] {
  switch (item.type) {
    case "message":
      return arrayIn(item.content, "content").flatMap((value) => {
        const content = objectIn(value, "content");
        const text = textIn(content);
        return text === undefined || text === "" ? [] : [{ kind: { case: "text", value: text } }];
      });
    case "function_call": {
      const input = inputIn(item.arguments);
      // The answer reached its token limit inside the arguments: there is no tool use that could be made of it.
      if (!input && cutOff) return [];
      if (!input) throw new UnreadableAnswerError("tool arguments are not a JSON object");
      const id = stringIn(item.call_id, "call id");
      return [{ kind: { case: "toolUse", value: { id, name: stringIn(item.name, "function name"), input } } }];
    }
    case "reasoning": {
      const thought = { text: summaryIn(item), signature: signatureOf(item) };
      return thought.text === "" && thought.signature === "" ? [] : [{ kind: { case: "thinking", value: thought } }];
    }
    default:
      return [];
  }
}

/** The text of a message's content, refusals included; undefined for other content. */
function textIn(content: Json): string | undefined {
  if (content.type === "output_text") return stringIn(content.text, "text");
  return content.type === "refusal" ? stringIn(content.refusal, "refusal") : undefined;
}

function inputIn(value: unknown): JsonObject | undefined {
  try {
    const input: unknown = JSON.parse(stringIn(value ?? "{}", "arguments") || "{}");
    return isObject(input) ? (input as JsonObject) : undefined;
  } catch (error) {
    if (error instanceof UnreadableAnswerError) throw error;
    return undefined;
  }
}

function summaryIn({ summary }: Json): string {
  const texts = arrayIn(summary ?? [], "summary").map((part) => stringIn(objectIn(part, "summary").text, "summary"));
  return texts.join("\n\n");
}

/** What a thought must come back with: its id and what only OpenAI can read. Empty where there is nothing of it. */
export function signatureOf({ id, encrypted_content: encrypted }: Json): string {
  return typeof encrypted === "string" && encrypted !== "" ? `${stringIn(id, "item id")}.${encrypted}` : "";
}

/** Why the response ended. Throws when it failed. */
export function stopOf(response: Json, items: readonly Json[]): StopReason {
  const { status, incomplete_details: details } = response;
  if (status === "failed" || status === "cancelled") {
    const words = isObject(response.error) ? oneLine(response.error.message) : undefined;
    throw new UnreadableAnswerError(`the upstream reports an error: ${words ?? "it does not say which"}`);
  }
  if (status === "incomplete") {
    const reason = isObject(details) ? details.reason : undefined;
    if (reason === "max_output_tokens") return StopReason.MAX_TOKENS;
    return reason === "content_filter" ? StopReason.CONTENT_FILTER : StopReason.OTHER;
  }
  if (items.some(refuses)) return StopReason.REFUSAL;
  return items.some(({ type }) => type === "function_call") ? StopReason.TOOL_USE : StopReason.END_TURN;
}

function refuses({ type, content }: Json): boolean {
  return (
    type === "message" && arrayIn(content ?? [], "content").some((part) => isObject(part) && part.type === "refusal")
  );
}
