// Providers that speak like OpenAI: what they have in common.

import { modelIds } from "./answers.js";
import { type BodyRules, createRewrite, unaskedUsage } from "./openai-body.js";
import { promptOfChat, readChat } from "./openai-chat.js";
import { createChatDecoder, decodeChat } from "./openai-decode.js";
import { openaiEmbeddings } from "./openai-embeddings.js";
import { createChatEncoder, type Dialect } from "./openai-encode.js";
import { openaiErrorBody, openaiStreamError, readOpenaiError } from "./openai-errors.js";
import { hasTokens, readPrompt, textOfPrompt } from "./openai-prompt.js";
import { typedPrompt } from "./openai-prompt-typed.js";
import { createOpenaiMeter } from "./openai-usage.js";
import { outputOf } from "./output.js";
import type { Api, Provider } from "./provider.js";

/** What is a provider's own. */
export interface Speaker extends Pick<Provider, "kind" | "defaultBaseUrl" | "retryAfterSeconds"> {
  readonly dialect: Dialect;
  readonly body: BodyRules;
  /** Headers of callers that are passed on, lower case. */
  readonly passHeaders?: readonly string[];
  /** APIs beside chat completions and completions; typed requests go to them where they take them. */
  readonly apis?: readonly Api[];
}

export function speaker(own: Speaker): Provider {
  const { kind, defaultBaseUrl, retryAfterSeconds, apis = [] } = own;
  return {
    kind,
    defaultBaseUrl,
    sdkPrefix: "/v1",
    retryAfterSeconds,
    apis: [...apis, chatCompletions(own), completions(own), openaiEmbeddings(own.body)],
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

function common({ body, passHeaders = [] }: Speaker) {
  return {
    passHeaders,
    headers: {},
    rewrite: createRewrite(body),
    unasked: unaskedUsage,
    meter: createOpenaiMeter,
  } satisfies Partial<Api>;
}

// Some servers put text into parts, and thoughts beside it, by either name.
const said = ["content", "text", "refusal", "reasoning_content", "reasoning", "arguments"];
const chatOutput = outputOf({ streamed: said, whole: said });
const textOutput = outputOf({ streamed: ["text"], whole: ["text"] });

function chatCompletions(own: Speaker): Api {
  return {
    ...common(own),
    name: "chat_completions",
    paths: [{ path: "/chat/completions" }],
    takes: (body) => body.has("messages"),
    read: readChat,
    prompt: promptOfChat,
    output: chatOutput,
    typed: {
      takes: ({ input }) => input.case !== "prompt",
      encode: createChatEncoder(own.dialect),
      decode: decodeChat,
      decoder: createChatDecoder,
    },
  };
}

function completions(own: Speaker): Api {
  return {
    ...common(own),
    name: "completions",
    feature: "code_completions",
    paths: [{ path: "/completions" }],
    takes: (body) => body.has("prompt"),
    read: readPrompt,
    prompt: textOfPrompt,
    output: textOutput,
    numbered: hasTokens,
    typed: typedPrompt(own.dialect),
  };
}
