import { COLON, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "../lib/json-bytes.js";
import { endsWith, isObject, parseObject, tokenCount, usageOf } from "./answers.js";
import { type MeterState, reported } from "./meters.js";
import type { Meter, Usage } from "./provider.js";

/**
 * A `usage` object in the gateway's counts: https://platform.openai.com/docs/api-reference/chat/object. `prompt_tokens` and
 * `completion_tokens` are totals; the details are parts of them.
 */
export function openaiUsage(usage: unknown): Usage {
  if (!isObject(usage)) return {};
  const prompt = isObject(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const completion = isObject(usage.completion_tokens_details) ? usage.completion_tokens_details : {};
  const input = tokenCount(usage.prompt_tokens);
  const output = tokenCount(usage.completion_tokens);
  // The second is DeepSeek's.
  const cached = tokenCount(prompt.cached_tokens) ?? tokenCount(usage.prompt_cache_hit_tokens);
  const written = tokenCount(prompt.cache_write_tokens);
  const reasoning = tokenCount(completion.reasoning_tokens);
  return reported({
    inputTokens: input,
    outputTokens: output,
    cachedInputTokens: cached,
    cacheWriteTokens: written,
    reasoningTokens: reasoning,
  });
}

// Nearly all chunks end in one of these ways, and say nothing of usage then.
const noUsage = '"usage":null}';
const underWay = '"finish_reason":null}]}';

/** Whether the payload that ends at `end` is a chunk like nearly all: more of an answer, and no more than that. */
export function isPlainChunk(data: Buffer, end?: number): boolean {
  return endsWith(data, noUsage, end) || endsWith(data, underWay, end);
}

const usageName = Buffer.from('"usage"');
const errorName = Buffer.from('"error"');

/** The payload that ends a stream. */
export function isDone(data: string): boolean {
  return data.trim() === "[DONE]";
}

/** Reads usage from whichever chunk has it, the end from `[DONE]`. */
export function createOpenaiMeter(): Meter {
  const meter: MeterState = {
    usage: {},
    ended: undefined,
    event(data) {
      if (data[0] === OPEN_BRACKET) {
        if (isDone(data.toString("latin1"))) meter.ended ??= "complete";
        return;
      }
      if (isPlainChunk(data)) return;
      // `"usage":null` can stand in every chunk, so the name alone says nothing.
      if (!hasObject(data, usageName) && !data.includes(errorName)) return;
      const chunk = parseObject(data);
      if (!chunk) return;
      meter.usage = { ...meter.usage, ...openaiUsage(chunk.usage) };
      if (chunk.error !== undefined && chunk.error !== null) meter.ended = "error";
    },
    whole(body) {
      meter.usage = openaiUsage(usageOf(body));
      meter.ended = "complete";
    },
  };
  return meter;
}

/** Whether a member of this name has an object as its value, wherever. A text that looks like one is no harm. */
function hasObject(data: Buffer, name: Buffer): boolean {
  for (let at = data.indexOf(name); at >= 0; at = data.indexOf(name, at + 1)) {
    let next = at + name.length;
    while (isBetween(data[next])) next++;
    if (data[next] === OPEN_BRACE) return true;
  }
  return false;
}

/** A colon or white space. */
function isBetween(byte: number | undefined): boolean {
  return byte === COLON || (byte !== undefined && byte <= 0x20 && byte !== QUOTE);
}
