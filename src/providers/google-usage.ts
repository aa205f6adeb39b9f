import { isObject, type Json, memberReader, parseObject, tokenCount } from "./answers.js";
import { type MeterState, reported } from "./meters.js";
import type { Meter, Usage } from "./provider.js";

/**
 * A `usageMetadata` object in the gateway's counts: https://ai.google.dev/api/generate-content#UsageMetadata. Thoughts and
 * the prompts of tools are counted beside candidates and prompt; a count of nothing is left out.
 */
export function googleUsage(metadata: unknown): Usage {
  if (!isObject(metadata)) return {};
  const prompt = tokenCount(metadata.promptTokenCount);
  const toolPrompt = tokenCount(metadata.toolUsePromptTokenCount);
  const candidates = tokenCount(metadata.candidatesTokenCount);
  const thoughts = tokenCount(metadata.thoughtsTokenCount);
  const cached = tokenCount(metadata.cachedContentTokenCount);
  const total = tokenCount(metadata.totalTokenCount);
  const input = sum(prompt, toolPrompt);
  const rest = total !== undefined && input !== undefined ? Math.max(0, total - input) : undefined;
  const output = candidates === undefined ? (rest ?? thoughts) : sum(candidates, thoughts);
  return reported({
    inputTokens: input,
    outputTokens: output,
    cachedInputTokens: cached,
    reasoningTokens: thoughts,
  });
}

function sum(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined && other === undefined ? undefined : (one ?? 0) + (other ?? 0);
}

/** A chunk can hold a picture. */
const maxEventBytes = 16 * 1024 * 1024;

/**
 * Reads usage from every chunk: counts are cumulative, the last one holds. There is no end mark: a stream is complete when
 * every candidate that it has begun has said why it finished, or the prompt was blocked.
 */
export function createGenerateMeter(): Meter {
  // Answered whole, or not at all.
  let done = false;
  const begun = new Set<unknown>();
  const finished = new Set<unknown>();

  const read = (chunk: Json | undefined): void => {
    meter.usage = { ...meter.usage, ...googleUsage(chunk?.usageMetadata) };
    done ||= blockReasonOf(chunk) !== undefined;
    for (const { index = 0, finishReason } of candidatesOf(chunk)) {
      begun.add(index);
      if (typeof finishReason === "string") finished.add(index);
    }
    if (meter.ended === "error" || isObject(chunk?.error)) meter.ended = "error";
    else meter.ended = done || (begun.size > 0 && finished.size === begun.size) ? "complete" : undefined;
  };
  const meter: MeterState = {
    usage: {},
    ended: undefined,
    maxEventBytes,
    event: (data) => read(parseObject(data)),
    whole(body) {
      // Streams that are no server-sent events come as one array.
      if (isArray(body)) for (const chunk of parseArray(body)) read(isObject(chunk) ? chunk : undefined);
      else meter.usage = googleUsage(usageOf(body));
      meter.ended ??= "complete";
    },
  };
  return meter;
}

const usageOf = memberReader("usageMetadata");

/** Why the prompt was not answered; undefined when it was. */
export function blockReasonOf(chunk: Json | undefined): string | undefined {
  const { promptFeedback } = chunk ?? {};
  const reason = isObject(promptFeedback) ? promptFeedback.blockReason : undefined;
  return typeof reason === "string" ? reason : undefined;
}

function candidatesOf(chunk: Json | undefined): readonly Json[] {
  const { candidates } = chunk ?? {};
  return Array.isArray(candidates) ? candidates.filter(isObject) : [];
}

function isArray(body: Buffer): boolean {
  return /^\s*\[/.test(body.toString("latin1", 0, 64));
}

function parseArray(body: Buffer): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
