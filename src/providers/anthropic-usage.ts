import { beginsWith, isObject, type Json, parseObject, takeCounts, tokenCount, usageOf } from "./answers.js";
import { type MeterState, reported } from "./meters.js";
import type { Meter, Usage } from "./provider.js";

const inputFields = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"] as const;

/** The counts of Anthropic's `usage` objects, each of which reports some of them anew. */
export interface AnthropicCounts {
  /** The prompt's, from `message_start`. Output tokens there are only a beginning, so they are no report. */
  started(usage: unknown): void;
  /** Of a whole message, or cumulative, from `message_delta`. */
  reported(usage: unknown): void;
  usage(): Usage;
}

/** https://platform.claude.com/docs/en/api/messages: total input is `input_tokens` and both cache counts together. */
export function createAnthropicCounts(): AnthropicCounts {
  const counts: Partial<Record<(typeof inputFields)[number] | "output_tokens", number>> = {};
  let thinking: number | undefined;
  return {
    started(usage) {
      takeCounts(counts, usage, inputFields);
    },
    reported(usage) {
      takeCounts(counts, usage, [...inputFields, "output_tokens"]);
      const details = isObject(usage) ? usage.output_tokens_details : undefined;
      if (isObject(details)) thinking = tokenCount(details.thinking_tokens) ?? thinking;
    },
    usage() {
      const { input_tokens: plain, cache_read_input_tokens: read, cache_creation_input_tokens: written } = counts;
      return reported({
        inputTokens: plain === undefined ? undefined : plain + (read ?? 0) + (written ?? 0),
        outputTokens: counts.output_tokens,
        cachedInputTokens: read,
        cacheWriteTokens: written,
        reasoningTokens: thinking,
      });
    },
  };
}

// Nearly all events begin like this, and none of them says anything about usage.
const delta = '{"type":"content_block_delta"';
const messageEvent = Buffer.from('"message_');
const errorEvent = Buffer.from('"error"');

/** Reads usage from `message_start` and `message_delta`, the end from `message_stop`. */
export function createMessagesMeter(): Meter {
  const counts = createAnthropicCounts();
  const meter: MeterState = {
    usage: {},
    ended: undefined,
    event(data) {
      if (beginsWith(data, delta) || !(data.includes(messageEvent) || data.includes(errorEvent))) return;
      const event = parseObject(data);
      switch (event?.type) {
        case "message_start":
          counts.started((event.message as Json | undefined)?.usage);
          meter.usage = counts.usage();
          break;
        case "message_delta":
          counts.reported(event.usage);
          meter.usage = counts.usage();
          break;
        case "message_stop":
          meter.ended ??= "complete";
          break;
        case "error":
          meter.ended = "error";
      }
    },
    whole(body) {
      counts.reported(usageOf(body));
      meter.usage = counts.usage();
      meter.ended = "complete";
    },
  };
  return meter;
}
