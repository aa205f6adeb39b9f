import { beginsWith, isObject, parseObject, tokenCount, usageOf } from "./answers.js";
import { type MeterState, reported } from "./meters.js";
import type { Meter, Usage } from "./provider.js";

/** A `usage` object of this API in the gateway's counts. */
export function responsesUsage(usage: unknown): Usage {
  if (!isObject(usage)) return {};
  const input = tokenCount(usage.input_tokens);
  const output = tokenCount(usage.output_tokens);
  const cached = isObject(usage.input_tokens_details)
    ? tokenCount(usage.input_tokens_details.cached_tokens)
    : undefined;
  const { output_tokens_details: details } = usage;
  const reasoning = isObject(details) ? tokenCount(details.reasoning_tokens) : undefined;
  return reported({
    inputTokens: input,
    outputTokens: output,
    cachedInputTokens: cached,
    reasoningTokens: reasoning,
  });
}

/** The last event has the whole response in it, its instructions and tools included. */
const maxEventBytes = 16 * 1024 * 1024;

// Nearly all events begin like this, and none of them ends anything.
const deltas = [
  '{"type":"response.output_text.delta"',
  '{"type":"response.function_call_arguments.delta"',
  '{"type":"response.reasoning_summary_text.delta"',
];
const endings = ["response.completed", "response.incomplete", "response.failed"].map((type) =>
  Buffer.from(`"${type}"`),
);
const errorName = Buffer.from('"error"');

/** Reads usage and end from the event that ends a stream. */
export function createResponsesMeter(): Meter {
  const meter: MeterState = {
    usage: {},
    ended: undefined,
    maxEventBytes,
    event(data) {
      if (deltas.some((begin) => beginsWith(data, begin))) return;
      if (!endings.some((name) => data.includes(name)) && !data.includes(errorName)) return;
      const event = parseObject(data);
      switch (event?.type) {
        case "response.completed":
        case "response.incomplete":
        case "response.failed":
          meter.usage = {
            ...meter.usage,
            ...responsesUsage(isObject(event.response) ? event.response.usage : undefined),
          };
          meter.ended = event.type === "response.failed" ? "error" : "complete";
          break;
        case "error":
        case undefined:
          if (event && (event.type === "error" || isObject(event.error))) meter.ended = "error";
      }
    },
    whole(body) {
      meter.usage = responsesUsage(usageOf(body));
      meter.ended = "complete";
    },
  };
  return meter;
}
