import { modelIds } from "./answers.js";
import { createMessageDecoder, decodeCount, decodeMessage } from "./anthropic-decode.js";
import { encodeCount, encodeMessages } from "./anthropic-encode.js";
import { anthropicErrorBody, anthropicStreamError, readAnthropicError } from "./anthropic-errors.js";
import { promptOfMessages, readMessages, rewriteCountTokens, rewriteMessages } from "./anthropic-messages.js";
import { textCompletions } from "./anthropic-text.js";
import { createMessagesMeter } from "./anthropic-usage.js";
import { createFreeMeter } from "./meters.js";
import { outputOf } from "./output.js";
import type { Api, ModelList, Provider } from "./provider.js";

const version = { "anthropic-version": "2023-06-01" };
const passHeaders = ["anthropic-version", "anthropic-beta"];

const messages: Api = {
  name: "messages",
  paths: [{ path: "/v1/messages" }],
  passHeaders,
  headers: version,
  read: readMessages,
  rewrite: rewriteMessages,
  prompt: promptOfMessages,
  meter: createMessagesMeter,
  output: outputOf({
    streamed: ["text", "thinking", "partial_json"],
    whole: ["text", "thinking"],
    objects: ["input"],
  }),
  typed: { encode: encodeMessages, decode: decodeMessage, decoder: createMessageDecoder },
};

const countTokens: Api = {
  name: "count_tokens",
  free: true,
  paths: [{ path: "/v1/messages/count_tokens" }],
  passHeaders,
  headers: version,
  read: (body) => ({ ...readMessages(body), stream: false, maxOutputTokens: undefined }),
  rewrite: rewriteCountTokens,
  prompt: promptOfMessages,
  meter: createFreeMeter,
  count: { encode: encodeCount, decode: decodeCount },
};

const modelList: ModelList = {
  path: "/v1/models?limit=1000",
  headers: version,
  read: modelIds,
  write: (models) => ({
    // Release dates are not known here; Anthropic's own word for that is the epoch.
    data: models.map((id) => ({ type: "model", id, display_name: id, created_at: "1970-01-01T00:00:00Z" })),
    has_more: false,
    first_id: models[0] ?? null,
    last_id: models.at(-1) ?? null,
  }),
};

/** Anthropic's Messages API, https://platform.claude.com/docs/en/api/messages. */
export const anthropic: Provider = {
  kind: "anthropic",
  defaultBaseUrl: "https://api.anthropic.com",
  sdkPrefix: "",
  // Below the three seconds up to which existing Sourcegraph instances try again by themselves.
  retryAfterSeconds: 2,
  apis: [messages, countTokens, textCompletions],
  authHeaders: (key) => (key === undefined ? {} : { "x-api-key": key }),
  errorBody: anthropicErrorBody,
  streamError: anthropicStreamError,
  readError: readAnthropicError,
  modelList,
};
