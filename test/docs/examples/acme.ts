// Acme's chat, https://docs.acme.example/chat: one text each way. Its streams count their tokens in the last event.

import {
  StreamCompleteResponse_PartKind as PartKind,
  Role,
  StopReason,
} from "../../../gen/codygateway/v1/completions_pb.js";
import { isObject, modelIds, oneLine, parseObject, tokenCount } from "../../../src/providers/answers.js";
import {
  editString,
  member,
  optionalBoolean,
  optionalNumber,
  requireArray,
  requiredString,
} from "../../../src/providers/fields.js";
import { outputOf } from "../../../src/providers/output.js";
import type { Api, Edits, Meter, Provider, PublicError, Usage } from "../../../src/providers/provider.js";
import { textsOf } from "../../../src/providers/texts.js";
import { type TypedApi, type TypedDecoder, UnreadableAnswerError } from "../../../src/providers/typed.js";
import { cannot, chatOf, refuse, withOptions } from "../../../src/providers/typed-encode.js";
import { createEventWriter, objectIn, payloadOf, stringIn } from "../../../src/providers/typed-events.js";

const chat: Api = {
  name: "chat",
  paths: [{ path: "/chat" }],
  passHeaders: [],
  headers: { "acme-version": "2" },
  read(body) {
    requireArray(body, "messages", "messages must be an array");
    return {
      model: requiredString(body, "model"),
      stream: optionalBoolean(body, "stream") ?? false,
      maxOutputTokens: optionalNumber(body, "max_tokens"),
    };
  },
  rewrite(body, { model, endUser }) {
    const edits: Edits = new Map();
    editString(body, edits, "model", model);
    if (endUser !== undefined) editString(body, edits, "user", endUser);
    return edits;
  },
  prompt: (body) => textsOf(member(body, "messages")).join("\n"),
  meter: createMeter,
  output: outputOf({ streamed: ["text"], whole: ["text"] }),
  typed: typedChat(),
};

export const acme: Provider = {
  kind: "acme",
  defaultBaseUrl: "https://api.acme.example",
  sdkPrefix: "",
  retryAfterSeconds: 5,
  apis: [chat],
  authHeaders: (key) => (key === undefined ? {} : { authorization: `Bearer ${key}` }),
  errorBody: envelope,
  streamError: (error) => `\nevent: error\ndata: ${JSON.stringify(envelope(error))}\n\n`,
  readError(body) {
    const error = parseObject(body)?.error;
    return isObject(error) ? oneLine(error.message) : undefined;
  },
  modelList: {
    path: "/models",
    headers: {},
    read: modelIds,
    write: (models) => ({ data: models.map((id) => ({ id })) }),
  },
};

function envelope({ reason, message }: PublicError): object {
  return { error: { code: reason.toLowerCase(), message } };
}

/** `{"text":"…"}` many times, then `{"stop":"end","usage":{"prompt":7,"completion":5}}`; or `{"error":{…}}`. */
function createMeter(): Meter {
  let usage: Usage = {};
  let ended: Meter["ended"];
  const read = (data: Buffer): void => {
    const event = parseObject(data);
    usage = { ...usage, ...usageOf(event?.usage) };
    if (event?.error !== undefined) ended = "error";
    else if (typeof event?.stop === "string") ended ??= "complete";
  };
  return {
    event: read,
    whole: read,
    get usage() {
      return usage;
    },
    get ended() {
      return ended;
    },
  };
}

/** A count that is not there is unknown, which is not 0. */
function usageOf(value: unknown): Usage {
  if (!isObject(value)) return {};
  const [input, output] = [tokenCount(value.prompt), tokenCount(value.completion)];
  return {
    ...(input !== undefined && { inputTokens: input }),
    ...(output !== undefined && { outputTokens: output }),
  };
}

/** What the typed RPCs need. Leave `typed` out of the API, and they say that Acme has none. */
function typedChat(): TypedApi {
  return {
    encode(request, model, stream) {
      refuse(request, "Acme", ["seed", "topK", "presencePenalty", "frequencyPenalty", "prediction"]);
      if (request.tools.length > 0) throw cannot("Acme", "tools");
      const messages = chatOf(request, "Acme").messages.map(({ role, parts }, index) => ({
        role: role === Role.ASSISTANT ? "assistant" : "user",
        content: parts.map(({ kind }) => {
          if (kind.case !== "text") throw cannot("Acme", `chat.messages[${index}].parts`, "it takes text only");
          return kind.value;
        }),
      }));
      return withOptions(request, { messages, max_tokens: request.maxOutputTokens }, { model, stream });
    },
    decode(body) {
      const answer = objectIn(body, "answer");
      const parts = [{ kind: { case: "text" as const, value: stringIn(answer.text, "text") } }];
      return {
        id: stringIn(answer.id, "id"),
        message: { role: Role.ASSISTANT, parts },
        stopReason: stopOf(answer.stop),
        usage: usageOf(answer.usage),
      };
    },
    decoder: createDecoder,
  };
}

function createDecoder(): TypedDecoder {
  const writer = createEventWriter();
  let part: number | undefined;
  return {
    event(data) {
      const event = payloadOf(data);
      if (event.error !== undefined) throw new UnreadableAnswerError("the upstream reports an error");
      if (part === undefined) {
        writer.start(stringIn(event.id, "id"));
        part = writer.open({ kind: PartKind.TEXT });
      }
      if (event.text !== undefined) writer.add(part, PartKind.TEXT, stringIn(event.text, "text"));
      if (event.stop !== undefined) writer.finish({ stopReason: stopOf(event.stop), usage: usageOf(event.usage) });
      return writer.take();
    },
    end() {
      if (!writer.finished) throw new UnreadableAnswerError("the answer ends before its end");
      return writer.take();
    },
  };
}

function stopOf(stop: unknown): StopReason {
  if (stop === "end") return StopReason.END_TURN;
  return stop === "length" ? StopReason.MAX_TOKENS : StopReason.OTHER;
}
