// Which operation of which vendor a request is for.

import { anthropic, anthropicCountTokens, anthropicMessages, anthropicModels } from "./dialects/anthropic.js";
import { anthropicComplete } from "./dialects/anthropic-legacy.js";
import type { Generation, Lookup, Vendor } from "./dialects/dialect.js";
import { googleBatchEmbed, googleEmbed, kserveEmbeddings, openaiEmbeddings } from "./dialects/embeddings.js";
import { google, googleCountTokens, googleGenerate, googleModels } from "./dialects/google.js";
import { openaiChat } from "./dialects/openai-chat.js";
import { openaiCompletions } from "./dialects/openai-completions.js";
import { openaiResponses } from "./dialects/openai-responses.js";
import { fireworks, openai, openaiModels } from "./dialects/openai-vendors.js";

/** What a request is for. */
export interface Route {
  readonly vendor: Vendor;
  readonly operation: Generation | Lookup;
  /** The model, where the path names it. */
  readonly model?: string;
  /** The path asks for a stream. */
  readonly stream?: boolean;
  /** The stream is a JSON array and not server-sent events. */
  readonly jsonArray?: boolean;
  /** Open to callers without a key. */
  readonly open?: boolean;
}

const table: Readonly<Record<string, Route>> = {
  "POST /v1/messages": { vendor: anthropic, operation: anthropicMessages },
  "POST /v1/messages/count_tokens": { vendor: anthropic, operation: anthropicCountTokens },
  "POST /v1/complete": { vendor: anthropic, operation: anthropicComplete },
  "POST /v1/chat/completions": { vendor: openai, operation: openaiChat({ alwaysUsage: false }) },
  "POST /v1/completions": { vendor: openai, operation: openaiCompletions({ alwaysUsage: false }) },
  "POST /v1/responses": { vendor: openai, operation: openaiResponses },
  "POST /v1/embeddings": { vendor: openai, operation: openaiEmbeddings },
  "POST /inference/v1/chat/completions": { vendor: fireworks, operation: openaiChat({ alwaysUsage: true }) },
  "POST /inference/v1/completions": { vendor: fireworks, operation: openaiCompletions({ alwaysUsage: true }) },
  "POST /inference/v1/embeddings": { vendor: fireworks, operation: openaiEmbeddings },
  "GET /inference/v1/models": { vendor: fireworks, operation: openaiModels(fireworks) },
  "GET /v1beta/models": { vendor: google, operation: googleModels },
};

const googleMethods: Readonly<Record<string, { operation: Generation | Lookup; stream?: boolean }>> = {
  generateContent: { operation: googleGenerate },
  streamGenerateContent: { operation: googleGenerate, stream: true },
  countTokens: { operation: googleCountTokens },
  embedContent: { operation: googleEmbed },
  batchEmbedContents: { operation: googleBatchEmbed },
};

const listModels: Readonly<Record<string, Route>> = {
  anthropic: { vendor: anthropic, operation: anthropicModels },
  google: { vendor: google, operation: googleModels },
  openai: { vendor: openai, operation: openaiModels(openai) },
};

/** The route of a request, or undefined when no vendor has such a path. */
export function findRoute(
  method: string,
  url: URL,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Route | undefined {
  const { pathname } = url;
  const route = table[`${method} ${pathname}`];
  if (route) return route;
  // Three vendors have this path: the headers tell them apart.
  if (method === "GET" && pathname === "/v1/models") return listModels[callerOf(url, headers)];
  const [, encoded, name] = /^\/v1(?:beta)?\/models\/([^:]+):(\w+)$/.exec(pathname) ?? [];
  const called = name === undefined ? undefined : googleMethods[name];
  if (called && encoded !== undefined && method === "POST") {
    const jsonArray = called.stream === true && url.searchParams.get("alt") !== "sse";
    return { vendor: google, ...called, model: decodeURIComponent(encoded), jsonArray };
  }
  const [, kserve] = /^\/v2\/models\/([^/]+)\/infer$/.exec(pathname) ?? [];
  return kserve === undefined ? undefined : { vendor: openai, operation: kserveEmbeddings, model: kserve, open: true };
}

/** The vendor whose error shape an unknown path gets. */
export function vendorOf(url: URL, headers: Readonly<Record<string, string | string[] | undefined>>): Vendor {
  return url.pathname.startsWith("/inference/") ? fireworks : (listModels[callerOf(url, headers)] as Route).vendor;
}

function callerOf(url: URL, headers: Readonly<Record<string, string | string[] | undefined>>): string {
  if (headers["x-api-key"] !== undefined || headers["anthropic-version"] !== undefined) return "anthropic";
  const byGoogle =
    headers["x-goog-api-key"] !== undefined || url.searchParams.has("key") || url.pathname.startsWith("/v1beta/");
  return byGoogle ? "google" : "openai";
}
