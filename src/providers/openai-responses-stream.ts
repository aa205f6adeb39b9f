// The events of a Responses stream as typed ones: https://platform.openai.com/docs/api-reference/responses-streaming

import { StreamCompleteResponse_PartKind as PartKind } from "../../gen/codygateway/v1/completions_pb.js";
import { isObject, type Json, oneLine } from "./answers.js";
import { signatureOf, stopOf } from "./openai-responses-decode.js";
import { responsesUsage } from "./openai-responses-usage.js";
import { type TypedDecoder, UnreadableAnswerError } from "./typed.js";
import { arrayIn, createEventWriter, objectIn, payloadOf, stringIn } from "./typed-events.js";

export function createResponseDecoder(): TypedDecoder {
  const writer = createEventWriter();
  // Open parts by the item, or the content of an item, that they are made of.
  const parts = new Map<string, { readonly index: number; readonly kind: PartKind }>();
  let ended = false;

  const start = (response: Json): void => {
    if (!writer.started) writer.start(stringIn(response.id ?? "", "id"));
  };

  const open = (key: string, kind: PartKind, tool: { toolUseId?: string; toolName?: string } = {}): number => {
    const known = parts.get(key);
    if (known) return known.index;
    const index = writer.open({ kind, ...tool });
    parts.set(key, { index, kind });
    return index;
  };

  const add = (key: string, kind: PartKind, text: unknown): void => {
    const delta = stringIn(text, "delta");
    if (delta === "") return;
    if (kind === PartKind.TOOL_USE && !parts.has(key)) throw new UnreadableAnswerError("arguments of no function call");
    writer.add(open(key, kind), kind, delta);
  };

  const close = (key: string): void => {
    const part = parts.get(key);
    if (!part) return;
    writer.close(part.index);
    parts.delete(key);
  };

  const beginItem = (event: Json): void => {
    const item = objectIn(event.item, "item");
    if (item.type !== "function_call") return;
    const tool = { toolUseId: stringIn(item.call_id, "call id"), toolName: stringIn(item.name, "function name") };
    open(itemKey(event), PartKind.TOOL_USE, tool);
  };

  const endItem = (event: Json): void => {
    const item = objectIn(event.item, "item");
    const key = itemKey(event);
    const signature = item.type === "reasoning" ? signatureOf(item) : "";
    if (signature !== "") writer.sign(open(key, PartKind.THINKING), signature);
    close(key);
  };

  const end = (value: unknown): void => {
    const response = objectIn(value, "response");
    start(response);
    const items = arrayIn(response.output ?? [], "output").map((item) => objectIn(item, "item"));
    writer.finish({ stopReason: stopOf(response, items), usage: responsesUsage(response.usage) });
    ended = true;
  };

  const handlers = new Map<string, (event: Json) => void>([
    ["response.created", ({ response }) => start(objectIn(response, "response"))],
    ["response.output_item.added", beginItem],
    ["response.output_item.done", endItem],
    ["response.output_text.delta", (event) => add(contentKey(event), PartKind.TEXT, event.delta)],
    ["response.refusal.delta", (event) => add(contentKey(event), PartKind.TEXT, event.delta)],
    ["response.content_part.done", (event) => close(contentKey(event))],
    ["response.function_call_arguments.delta", (event) => add(itemKey(event), PartKind.TOOL_USE, event.delta)],
    ["response.reasoning_summary_text.delta", (event) => add(itemKey(event), PartKind.THINKING, event.delta)],
    [
      "response.reasoning_summary_part.added",
      (event) => {
        if (parts.has(itemKey(event))) add(itemKey(event), PartKind.THINKING, "\n\n");
      },
    ],
    ["response.completed", ({ response }) => end(response)],
    ["response.incomplete", ({ response }) => end(response)],
    ["response.failed", ({ response }) => end(response)],
    ["error", refuse],
  ]);

  return {
    event(data) {
      if (ended || data.trim() === "") return [];
      const event = payloadOf(data);
      if (isObject(event.error)) refuse(event.error);
      handlers.get(stringIn(event.type, "event type"))?.(event);
      return writer.take();
    },
    end() {
      if (!ended) throw new UnreadableAnswerError("the answer ends before its end");
      return writer.take();
    },
  };
}

function refuse({ message }: Json): never {
  throw new UnreadableAnswerError(`the upstream reports an error: ${oneLine(message) ?? "it does not say which"}`);
}

function itemKey({ output_index: index }: Json): string {
  return String(index);
}

function contentKey({ output_index: index, content_index: content }: Json): string {
  return `${String(index)}.${String(content)}`;
}
