// The vendors that speak OpenAI's language: OpenAI itself and Fireworks.

import { type Lookup, string, type Vendor } from "./dialect.js";

const errorTypes: Readonly<Record<number, { type: string; code: string | null; message: string }>> = {
  401: { type: "invalid_request_error", code: "invalid_api_key", message: "Incorrect API key provided." },
  404: { type: "invalid_request_error", code: "model_not_found", message: "The model does not exist." },
  429: { type: "requests", code: "rate_limit_exceeded", message: "Rate limit reached for requests" },
};

function openaiError(status: number, message: string | undefined): object {
  const usual = errorTypes[status] ?? {
    type: status >= 500 ? "server_error" : "invalid_request_error",
    code: null,
    message: status >= 500 ? "The server had an error while processing your request." : "Bad request",
  };
  return { error: { message: message ?? usual.message, type: usual.type, param: null, code: usual.code } };
}

const bearer: Vendor["key"] = (headers) => string(headers.authorization)?.replace(/^Bearer /i, "");

/** OpenAI as a vendor. */
export const openai: Vendor = {
  name: "openai",
  requestIdHeader: "x-request-id",
  models: [
    "gpt-5",
    "gpt-5-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-small",
    "text-embedding-ada-002",
  ],
  knows: (model) => /^(gpt-\d|o\d|chatgpt-|text-embedding-|codex-)/.test(model),
  key: bearer,
  error: openaiError,
};

/** Fireworks as a vendor. */
export const fireworks: Vendor = {
  name: "fireworks",
  requestIdHeader: "x-request-id",
  models: [
    "accounts/fireworks/models/starcoder-16b",
    "accounts/fireworks/models/deepseek-coder-v2-lite-base",
    "accounts/fireworks/models/mixtral-8x7b-instruct",
    "accounts/fireworks/models/llama-v3p1-70b-instruct",
    "nomic-ai/nomic-embed-text-v1.5",
  ],
  knows: (model) => /^accounts\/[\w-]+\/(models|deployedModels)\/[\w.-]+|^nomic-ai\/|^starcoder/.test(model),
  key: bearer,
  error: (status, message) => ({
    error: {
      object: "error",
      type: status >= 500 ? "internal_server_error" : "invalid_request_error",
      code: `HTTP_${status}`,
      message: message ?? "Request failed",
    },
  }),
};

/** `GET …/models` in OpenAI's shape. */
export function openaiModels(vendor: Vendor): Lookup {
  return {
    kind: "lookup",
    reply: () => ({
      body: {
        object: "list",
        data: vendor.models.map((id) => ({ id, object: "model", created: 1_700_000_000, owned_by: vendor.name })),
      },
    }),
  };
}
