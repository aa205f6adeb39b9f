// What of a native body is words: for estimates, and for checks, which what is put in an unusual place must not escape.

import type { JsonObject } from "../lib/json.js";
import { isObject } from "./answers.js";
import { member } from "./fields.js";

/**
 * All words of a message, of its content, or of several: every string in it but for names of kinds, ids, addresses and what is
 * no text. Fields that nobody knows yet are words.
 */
export function textsOf(content: unknown): string[] {
  const texts: string[] = [];
  gather(content, texts);
  return texts;
}

// Into one array: to make one for each message, and one of these, takes longer than the rest.
function gather(content: unknown, texts: string[]): void {
  if (typeof content === "string") texts.push(content);
  else if (Array.isArray(content)) for (const each of content) gather(each, texts);
  else if (isObject(content)) {
    for (const key of Object.keys(content)) {
      const value = content[key];
      if (wordless.has(key) || (key === "data" && content["type"] !== "text")) continue;
      if (calls.has(key) && isObject(value)) texts.push(readable(value));
      else gather(value, texts);
    }
  }
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
