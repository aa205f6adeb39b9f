// What the benchmarks send, and what their upstream answers.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** The model of all requests. */
export const model = "gpt-4o";

/** Filler that compresses and tokenizes like prose, of exactly this many bytes. */
function prose(bytes: number): string {
  const sentence = "The gateway passes this text on without looking at it more closely than it has to. ";
  return sentence.repeat(Math.ceil(bytes / sentence.length)).slice(0, bytes);
}

/** A chat request of this size in bytes. */
export function chatRequest(bytes: number, stream = false): Buffer {
  const make = (content: string): Buffer =>
    Buffer.from(JSON.stringify({ model, ...(stream && { stream }), messages: [{ role: "user", content }] }));
  return make(prose(bytes - make("").length));
}

/** A coding agent's request: some files in the prompt, tools, several turns. */
export function agentRequest(bytes: number): Buffer {
  const empty = agentBody(0).length;
  return agentBody(bytes - empty);
}

function agentBody(promptBytes: number): Buffer {
  const turns = 21;
  const parameters = { type: "object", properties: { path: { type: "string" }, text: { type: "string" } } };
  const tools = Array.from({ length: 12 }, (_, index) => ({
    type: "function",
    function: { name: `tool_${index}`, description: prose(300), parameters },
  }));
  const messages = Array.from({ length: turns }, (_, index) => ({
    role: index % 2 === 0 ? "user" : "assistant",
    content: prose(Math.ceil(promptBytes / turns)),
  }));
  return Buffer.from(JSON.stringify({ model, messages, tools }));
}

const usage = { prompt_tokens: 250, completion_tokens: 400, total_tokens: 650 };

/** A whole chat answer of this size. */
export function chatAnswer(bytes: number): string {
  return answer(prose(Math.max(0, bytes - answer("").length)));
}

function answer(content: string): string {
  const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }];
  const head = { id: "chatcmpl-bench", object: "chat.completion", created: 1_700_000_000, model };
  return JSON.stringify({ ...head, choices, usage });
}

/** How the upstream streams. */
export interface StreamShape {
  readonly chunks: number;
  /** Microseconds between two; 0: all at once. */
  readonly everyUs: number;
}

/** Writes the upstream's two answers as whole HTTP messages; the arguments it is to be started with. */
export function upstreamFiles(folder: string, answerBytes: number, { chunks, everyUs }: StreamShape): string[] {
  const whole = join(folder, "whole");
  const json = chatAnswer(answerBytes);
  writeFileSync(
    whole,
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
  );
  const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
  const begin = head + httpChunk(event([{ index: 0, delta: { role: "assistant" }, finish_reason: null }]));
  const chunk = httpChunk(event([{ index: 0, delta: { content: prose(40) }, finish_reason: null }]));
  const stop = event([{ index: 0, delta: {}, finish_reason: "stop" }]);
  const end = httpChunk(`${stop}${event([], { usage })}data: [DONE]\n\n`);
  const stream = join(folder, "stream");
  writeFileSync(stream, `${begin}${chunk.repeat(chunks)}${end}0\r\n\r\n`);
  return [whole, stream, chunk.length, begin.length, chunks, everyUs].map(String);
}

function event(choices: readonly object[], more: object = {}): string {
  const head = { id: "chatcmpl-bench", object: "chat.completion.chunk", created: 1_700_000_000, model };
  return `data: ${JSON.stringify({ ...head, choices, ...more })}\n\n`;
}

function httpChunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

/** What a streamed answer has in events at least: the role, the deltas, the end, the end mark; usage may be kept back. */
export function eventsOf({ chunks }: StreamShape): number {
  return chunks + 3;
}
