// Typed prompts as completions, and their answers: https://platform.openai.com/docs/api-reference/completions

import {
  type CompleteRequest,
  StreamCompleteResponse_PartKind as PartKind,
  Role,
  type StopReason,
} from "../../gen/codygateway/v1/completions_pb.js";
import { InvalidRequestError } from "../errors.js";
import { refuseError, stopOf } from "./openai-decode.js";
import { checkCommon, type Dialect, dialectNames, encodeFormat, samplingOf, withOwn } from "./openai-encode.js";
import { isDone, openaiUsage } from "./openai-usage.js";
import type { Usage } from "./provider.js";
import { type TypedAnswer, type TypedApi, type TypedDecoder, type TypedEvent, UnreadableAnswerError } from "./typed.js";
import { cannot, refuse } from "./typed-encode.js";
import { arrayIn, createEventWriter, objectIn, payloadOf, stringIn } from "./typed-events.js";

/** Completions as the typed RPCs use them: for prompts. */
export function typedPrompt(dialect: Dialect): TypedApi {
  return {
    takes: ({ input }) => input.case === "prompt",
    encode: (request, model, stream) => encodePrompt(request, { dialect, model, stream }),
    decode: decodePrompt,
    decoder: createPromptDecoder,
  };
}

function encodePrompt(
  request: CompleteRequest,
  { dialect, model, stream }: { readonly dialect: Dialect; readonly model: string; readonly stream: boolean },
): Record<string, unknown> {
  const { input, tools, reasoning, responseFormat, prediction } = request;
  const name = dialectNames[dialect];
  if (input.case !== "prompt") throw new InvalidRequestError("prompt is required", "input");
  const { text, suffix } = input.value;
  checkCommon(request, dialect);
  if (tools.length > 0) throw cannot(name, "tools", "prompts have none");
  if (reasoning) throw cannot(name, "reasoning", "prompts have none");
  if (dialect !== "fireworks") refuse(request, name, ["prediction"]);
  if (dialect === "openai" && responseFormat) throw cannot(name, "response_format", "prompts have none");
  if (dialect === "fireworks" && suffix !== undefined) throw cannot(name, "prompt.suffix");
  const fields = {
    prompt: text,
    suffix,
    ...samplingOf(request),
    response_format: responseFormat && encodeFormat(responseFormat),
    prediction: prediction === undefined ? undefined : { type: "content", content: prediction },
  };
  return withOwn(request, fields, { model, stream, dialect, capName: "max_tokens" });
}

function decodePrompt(body: unknown): TypedAnswer {
  const answer = objectIn(body, "completion");
  const choice = objectIn(arrayIn(answer.choices, "choices")[0], "choice");
  const text = stringIn(choice.text, "text");
  return {
    id: stringIn(answer.id ?? "", "id"),
    message: { role: Role.ASSISTANT, parts: text === "" ? [] : [{ kind: { case: "text", value: text } }] },
    ...stopOf(choice, false),
    usage: openaiUsage(answer.usage),
  };
}

function createPromptDecoder(): TypedDecoder {
  const writer = createEventWriter();
  let usage: Usage = {};
  let stop: { stopReason: StopReason } | undefined;
  let part: number | undefined;

  const add = (text: string): void => {
    if (text === "") return;
    part ??= writer.open({ kind: PartKind.TEXT });
    writer.add(part, PartKind.TEXT, text);
  };
  const finish = (): readonly TypedEvent[] => {
    if (!stop) throw new UnreadableAnswerError("the answer ends before its end");
    writer.finish({ ...stop, usage });
    return writer.take();
  };

  return {
    event(data) {
      if (writer.finished || data.trim() === "") return [];
      if (isDone(data)) return finish();
      const chunk = payloadOf(data);
      refuseError(chunk);
      if (!writer.started) writer.start(stringIn(chunk.id ?? "", "id"));
      usage = { ...usage, ...openaiUsage(chunk.usage) };
      const [first] = arrayIn(chunk.choices, "choices");
      if (first !== undefined) {
        const choice = objectIn(first, "choice");
        add(stringIn(choice.text ?? "", "text"));
        if (choice.finish_reason !== undefined && choice.finish_reason !== null) stop = stopOf(choice, false);
      }
      return writer.take();
    },
    end: () => (writer.finished ? writer.take() : finish()),
  };
}
