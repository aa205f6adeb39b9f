import { modelIds } from "./answers.js";
import { promptOfChat, readChat, rewriteChat, unaskedChatEvent } from "./openai-chat.js";
import { createChatDecoder, decodeChat } from "./openai-decode.js";
import { createChatEncoder, type Dialect } from "./openai-encode.js";
import { openaiErrorBody, openaiStreamError, readOpenaiError } from "./openai-errors.js";
import { createOpenaiMeter } from "./openai-usage.js";
import type { Api, Provider } from "./provider.js";

/** OpenAI's chat completions, https://platform.openai.com/docs/api-reference/chat. */
export const openai: Provider = speaker({
  kind: "openai",
  defaultBaseUrl: "https://api.openai.com/v1",
  retryAfterSeconds: 30,
  dialect: "openai",
});

/** Servers that speak like OpenAI's: vLLM, Ollama, llama.cpp, TGI, LiteLLM and many more. */
export const openaiCompatible: Provider = speaker({
  kind: "openai-compatible",
  defaultBaseUrl: undefined,
  retryAfterSeconds: 3,
  dialect: "compatible",
});

function speaker(parts: {
  kind: string;
  defaultBaseUrl: string | undefined;
  retryAfterSeconds: number;
  dialect: Dialect;
}): Provider {
  const { kind, defaultBaseUrl, retryAfterSeconds, dialect } = parts;
  return {
    kind,
    defaultBaseUrl,
    sdkPrefix: "/v1",
    retryAfterSeconds,
    apis: [chatCompletions(dialect)],
    authHeaders: (key) => (key === undefined ? {} : { authorization: `Bearer ${key}` }),
    errorBody: openaiErrorBody,
    streamError: openaiStreamError,
    readError: readOpenaiError,
    modelList: {
      path: "/models",
      headers: {},
      read: modelIds,
      write: (models) => ({
        object: "list",
        data: models.map((id) => ({ id, object: "model", created: 0, owned_by: kind })),
      }),
    },
  };
}

function chatCompletions(dialect: Dialect): Api {
  return {
    name: "chat_completions",
    path: () => "/chat/completions",
    passHeaders: [],
    headers: {},
    read: readChat,
    rewrite: rewriteChat,
    unasked: unaskedChatEvent,
    prompt: promptOfChat,
    meter: createOpenaiMeter,
    typed: { encode: createChatEncoder(dialect), decode: decodeChat, decoder: createChatDecoder },
  };
}
