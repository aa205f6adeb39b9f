// What of a native body is words: for estimates, and for checks, which what is put in an unusual place must not escape.

import type { JsonObject } from "../lib/json.js";
import { isObject } from "./answers.js";
import { member } from "./fields.js";

/**
 * All words of a message, of its content, or of several: every string in it but for names of kinds, ids, addresses and what is
 * no text. Fields that nobody knows yet are words.
 */
export function textsOf(content: unknown): string[] {
  if (typeof content === "string") return [content];
  if (Array.isArray(content)) return content.flatMap(textsOf);
  if (!isObject(content)) return [];
  return Object.entries(content).flatMap(([key, value]) => {
    if (wordless.has(key) || (key === "data" && content["type"] !== "text")) return [];
    return calls.has(key) && isObject(value) ? [readable(value)] : textsOf(value);
  });
}

/** Of a member of the body; undefined where there is none: nothing but JSON tells what a tool is. */
export function toolsOf(body: JsonObject, key = "tools"): string[] {
  const tools = member(body, key);
  return tools === undefined ? [] : [readable(tools)];
}

/** JSON whose texts stand in it as they are, whatever was escaped in what was sent. */
function readable(value: unknown): string {
  return JSON.stringify(value).replaceAll("\\n", "\n").replaceAll('\\"', '"');
}

/** What is given to tools and comes from them, where it has a form of its own. */
export const calls: ReadonlySet<string> = new Set([
  "input",
  "functionCall",
  "functionResponse",
  "function_call",
  "function_response",
]);

/** Names of what is no text: kinds, ids, addresses, and bytes in base64. */
export const wordless: ReadonlySet<string> = new Set(
  [
    ["type", "role", "id", "call_id", "tool_use_id", "tool_call_id", "item_id", "status", "detail", "cache_control"],
    ["media_type", "mimeType", "mime_type", "format", "url", "image_url", "file_url", "fileUri", "file_uri"],
    ["file_id", "file_data", "signature", "thoughtSignature", "thought_signature", "encrypted_content"],
  ].flat(),
);
