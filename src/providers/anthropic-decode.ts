// Anthropic's answers as typed ones: https://platform.claude.com/docs/en/build-with-claude/streaming
// Blocks that the typed API has no part for, such as those of server tools, are left out.

import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import {
  StreamCompleteResponse_PartKind as PartKind,
  type PartSchema,
  Role,
  StopReason,
} from "../../gen/codygateway/v1/completions_pb.js";
import { isObject, oneLine, tokenCount } from "./answers.js";
import { createAnthropicCounts } from "./anthropic-usage.js";
import { type TypedAnswer, type TypedDecoder, UnreadableAnswerError } from "./typed.js";
import { arrayIn, createEventWriter, objectIn, payloadOf, stringIn } from "./typed-events.js";

type PartInit = MessageInitShape<typeof PartSchema>;

export function decodeMessage(body: unknown): TypedAnswer {
  const message = objectIn(body, "message");
  if (message.type !== "message") throw new UnreadableAnswerError("the body is no message");
  const counts = createAnthropicCounts();
  counts.reported(message.usage);
  return {
    id: stringIn(message.id, "id"),
    message: { role: Role.ASSISTANT, parts: arrayIn(message.content, "content").flatMap(decodeBlock) },
    ...stopOf(message.stop_reason, message.stop_sequence),
    usage: counts.usage(),
  };
}

function decodeBlock(value: unknown): PartInit[] {
  const block = objectIn(value, "content block");
  switch (block.type) {
    case "text":
      return [{ kind: { case: "text", value: stringIn(block.text, "text") } }];
    case "thinking": {
      const thinking = {
        text: stringIn(block.thinking, "thinking"),
        signature: stringIn(block.signature, "signature"),
      };
      return [{ kind: { case: "thinking", value: thinking } }];
    }
    case "redacted_thinking":
      return [{ kind: { case: "thinking", value: { redactedData: stringIn(block.data, "data") } } }];
    case "tool_use": {
      const id = stringIn(block.id, "tool use id");
      const name = stringIn(block.name, "tool name");
      const input = objectIn(block.input, "tool input") as JsonObject;
      return [{ kind: { case: "toolUse", value: { id, name, input } } }];
    }
    default:
      return [];
  }
}

function stopOf(reason: unknown, sequence: unknown): { stopReason: StopReason; stopSequence?: string } {
  return {
    stopReason:
      reason === null || reason === undefined ? StopReason.UNSPECIFIED : (stops.get(reason) ?? StopReason.OTHER),
    ...(typeof sequence === "string" && { stopSequence: sequence }),
  };
}

const stops = new Map<unknown, StopReason>([
  ["end_turn", StopReason.END_TURN],
  ["max_tokens", StopReason.MAX_TOKENS],
  ["model_context_window_exceeded", StopReason.MAX_TOKENS],
  ["stop_sequence", StopReason.STOP_SEQUENCE],
  ["tool_use", StopReason.TOOL_USE],
  ["refusal", StopReason.REFUSAL],
]);

export function createMessageDecoder(): TypedDecoder {
  const writer = createEventWriter();
  const counts = createAnthropicCounts();
  // Anthropic's block indexes → ours; undefined for a block that is left out.
  const blocks = new Map<unknown, number | undefined>();
  let stop = stopOf(undefined, undefined);

  const partOf = (index: unknown): number | undefined => {
    if (!blocks.has(index)) throw new UnreadableAnswerError("more of a block that is not open");
    return blocks.get(index);
  };

  const startBlock = (index: unknown, value: unknown): void => {
    const block = objectIn(value, "content block");
    if (typeof index !== "number" || blocks.has(index)) throw new UnreadableAnswerError("a block begins twice");
    blocks.set(index, openBlock(block));
  };

  const openBlock = (block: Readonly<Record<string, unknown>>): number | undefined => {
    let part: number;
    switch (block.type) {
      case "text":
        part = writer.open({ kind: PartKind.TEXT });
        writer.add(part, PartKind.TEXT, stringIn(block.text, "text"));
        return part;
      case "thinking":
        part = writer.open({ kind: PartKind.THINKING });
        writer.add(part, PartKind.THINKING, stringIn(block.thinking, "thinking"));
        writer.sign(part, stringIn(block.signature ?? "", "signature"));
        return part;
      case "redacted_thinking":
        return writer.open({ kind: PartKind.THINKING, redactedData: stringIn(block.data, "data") });
      case "tool_use":
        part = writer.open({
          kind: PartKind.TOOL_USE,
          toolUseId: stringIn(block.id, "tool use id"),
          toolName: stringIn(block.name, "tool name"),
        });
        // Empty as a rule: the input follows in deltas.
        if (isObject(block.input) && Object.keys(block.input).length > 0)
          writer.add(part, PartKind.TOOL_USE, JSON.stringify(block.input));
        return part;
      default:
        return undefined;
    }
  };

  const addToBlock = (index: unknown, value: unknown): void => {
    const part = partOf(index);
    const delta = objectIn(value, "delta");
    if (part === undefined) return;
    switch (delta.type) {
      case "text_delta":
        return writer.add(part, PartKind.TEXT, stringIn(delta.text, "text"));
      case "thinking_delta":
        return writer.add(part, PartKind.THINKING, stringIn(delta.thinking, "thinking"));
      case "input_json_delta":
        return writer.add(part, PartKind.TOOL_USE, stringIn(delta.partial_json, "tool input"));
      case "signature_delta":
        return writer.sign(part, stringIn(delta.signature, "signature"));
    }
  };

  return {
    event(data) {
      if (writer.finished || data.trim() === "") return [];
      const event = payloadOf(data);
      switch (stringIn(event.type, "event type")) {
        case "message_start": {
          const message = objectIn(event.message, "message");
          counts.started(message.usage);
          writer.start(stringIn(message.id, "id"));
          break;
        }
        case "content_block_start":
          startBlock(event.index, event.content_block);
          break;
        case "content_block_delta":
          addToBlock(event.index, event.delta);
          break;
        case "content_block_stop": {
          const part = partOf(event.index);
          if (part !== undefined) writer.close(part);
          break;
        }
        case "message_delta": {
          const delta = objectIn(event.delta, "delta");
          counts.reported(event.usage);
          stop = stopOf(delta.stop_reason, delta.stop_sequence);
          break;
        }
        case "message_stop":
          writer.finish({ ...stop, usage: counts.usage() });
          break;
        case "error": {
          const error = isObject(event.error) ? oneLine(event.error.message) : undefined;
          throw new UnreadableAnswerError(`the upstream reports an error: ${error ?? "it does not say which"}`);
        }
      }
      return writer.take();
    },
    end() {
      if (!writer.finished) throw new UnreadableAnswerError("the answer ends before its end");
      return writer.take();
    },
  };
}

export function decodeCount(body: unknown): number {
  const count = tokenCount(objectIn(body, "token count").input_tokens);
  if (count === undefined) throw new UnreadableAnswerError("input_tokens is not a count");
  return count;
}
