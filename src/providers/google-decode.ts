// Gemini's answers as typed ones: https://ai.google.dev/api/generate-content#GenerateContentResponse
// Parts that the typed API has none for, such as code that Google ran itself, are left out.

import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import {
  StreamCompleteResponse_PartKind as PartKind,
  type PartSchema,
  Role,
  StopReason,
} from "../../gen/codygateway/v1/completions_pb.js";
import { isObject, type Json, oneLine, tokenCount } from "./answers.js";
import { blockReasonOf, googleUsage } from "./google-usage.js";
import type { Usage } from "./provider.js";
import { type TypedAnswer, type TypedDecoder, UnreadableAnswerError } from "./typed.js";
import { arrayIn, createEventWriter, objectIn, payloadOf, stringIn } from "./typed-events.js";

type PartInit = MessageInitShape<typeof PartSchema>;

/** A piece of an answer, whole or as a chunk has it. */
type Piece =
  | { readonly kind: "text" | "thinking"; readonly text: string; readonly signature: string }
  | {
      readonly kind: "tool";
      readonly id: string;
      readonly name: string;
      readonly input: Json;
      readonly signature: string;
    };

export function decodeGenerate(body: unknown): TypedAnswer {
  const answer = objectIn(body, "answer");
  const candidate = candidateOf(answer);
  if (!candidate && blockReasonOf(answer) === undefined)
    throw new UnreadableAnswerError("the answer has neither a candidate nor a reason for having none");
  const id = idOf(answer);
  const parts: PartInit[] = [];
  const pieces = candidate ? piecesOf(candidate, id, 0) : [];
  for (const piece of pieces) parts.push(...partsOf(piece));
  return {
    id,
    message: { role: Role.ASSISTANT, parts },
    stopReason: stopOf(answer, candidate, pieces.some(isTool)) ?? StopReason.UNSPECIFIED,
    usage: googleUsage(answer.usageMetadata),
  };
}

function partsOf(piece: Piece): PartInit[] {
  const { signature } = piece;
  if (piece.kind === "tool") {
    const { id, name, input } = piece;
    return [{ kind: { case: "toolUse", value: { id, name, input: input as JsonObject, signature } } }];
  }
  if (piece.kind === "thinking") return [{ kind: { case: "thinking", value: { text: piece.text, signature } } }];
  // A text has no place for a signature: it follows as a thought without words.
  return [
    ...(piece.text === "" ? [] : [{ kind: { case: "text" as const, value: piece.text } }]),
    ...(signature === "" ? [] : [{ kind: { case: "thinking" as const, value: { text: "", signature } } }]),
  ];
}

function candidateOf(answer: Json): Json | undefined {
  const [first] = arrayIn(answer.candidates ?? [], "candidates");
  return first === undefined ? undefined : objectIn(first, "candidate");
}

function idOf(answer: Json): string {
  return stringIn(answer.responseId ?? "", "responseId");
}

/** `tools`: how many tool uses the answer had before. Google gives them no ids as a rule. */
function piecesOf(candidate: Json, id: string, tools: number): Piece[] {
  const content = objectIn(candidate.content ?? {}, "content");
  let count = tools;
  return arrayIn(content.parts ?? [], "parts").flatMap((value): Piece[] => {
    const part = objectIn(value, "part");
    const signature = stringIn(part.thoughtSignature ?? "", "thoughtSignature");
    if (part.functionCall !== undefined) {
      const call = objectIn(part.functionCall, "function call");
      const own = typeof call.id === "string" && call.id !== "" ? call.id : `call_${id}_${count}`;
      count++;
      const name = stringIn(call.name, "function name");
      return [{ kind: "tool", id: own, name, input: objectIn(call.args ?? {}, "function arguments"), signature }];
    }
    if (part.text === undefined) return [];
    return [{ kind: part.thought === true ? "thinking" : "text", text: stringIn(part.text, "text"), signature }];
  });
}

function isTool({ kind }: Piece): boolean {
  return kind === "tool";
}

function stopOf(answer: Json, candidate: Json | undefined, calls: boolean): StopReason | undefined {
  if (!candidate) return blockReasonOf(answer) === undefined ? undefined : StopReason.CONTENT_FILTER;
  const { finishReason } = candidate;
  if (typeof finishReason !== "string") return undefined;
  if (finishReason === "STOP") return calls ? StopReason.TOOL_USE : StopReason.END_TURN;
  return stops.get(finishReason) ?? StopReason.OTHER;
}

const stops = new Map([
  ["MAX_TOKENS", StopReason.MAX_TOKENS],
  ...["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"].map(
    (reason): [string, StopReason] => [reason, StopReason.CONTENT_FILTER],
  ),
]);

export function createGenerateDecoder(): TypedDecoder {
  const writer = createEventWriter();
  let id = "";
  let usage: Usage = {};
  let stop: StopReason | undefined;
  let tools = 0;
  /** The open part: text and thinking come in pieces, tool uses whole. */
  let open: { readonly index: number; readonly kind: PartKind } | undefined;

  const close = (): void => {
    if (open) writer.close(open.index);
    open = undefined;
  };

  const openAs = (kind: PartKind): number => {
    if (open?.kind !== kind) {
      close();
      open = { index: writer.open({ kind }), kind };
    }
    return open.index;
  };

  const write = (piece: Piece): void => {
    if (piece.kind === "tool") {
      close();
      const part = writer.open({ kind: PartKind.TOOL_USE, toolUseId: piece.id, toolName: piece.name });
      writer.add(part, PartKind.TOOL_USE, JSON.stringify(piece.input));
      writer.sign(part, piece.signature);
      writer.close(part);
      tools++;
      return;
    }
    const kind = piece.kind === "text" ? PartKind.TEXT : PartKind.THINKING;
    if (piece.text !== "") writer.add(openAs(kind), kind, piece.text);
    if (piece.signature === "") return;
    if (piece.kind === "text") close();
    writer.sign(openAs(PartKind.THINKING), piece.signature);
    close();
  };

  return {
    event(data) {
      if (writer.finished || data.trim() === "") return [];
      const chunk = payloadOf(data);
      if (isObject(chunk.error)) {
        const words = oneLine(chunk.error.message) ?? "it does not say which";
        throw new UnreadableAnswerError(`the upstream reports an error: ${words}`);
      }
      const candidate = candidateOf(chunk);
      if (!candidate && chunk.usageMetadata === undefined && blockReasonOf(chunk) === undefined)
        throw new UnreadableAnswerError("a chunk that says nothing");
      if (id === "") id = idOf(chunk);
      if (!writer.started) writer.start(id);
      usage = { ...usage, ...googleUsage(chunk.usageMetadata) };
      if (candidate) for (const piece of piecesOf(candidate, id, tools)) write(piece);
      stop = stopOf(chunk, candidate, tools > 0) ?? stop;
      return writer.take();
    },
    end() {
      if (stop === undefined) throw new UnreadableAnswerError("the answer ends before its end");
      // Usage may come after the reason for the end: nothing is over before the stream is.
      writer.finish({ stopReason: stop, usage });
      return writer.take();
    },
  };
}

export function decodeCount(body: unknown): number {
  const count = tokenCount(objectIn(body, "token count").totalTokens);
  if (count === undefined) throw new UnreadableAnswerError("totalTokens is not a count");
  return count;
}
