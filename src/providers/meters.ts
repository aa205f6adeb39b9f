import type { Meter, Usage } from "./provider.js";

/** A meter as its maker sees it. Plain members, not accessors: those of an object literal cost as much as all the rest of it. */
export type MeterState = { -readonly [K in keyof Meter]: Meter[K] };

/** The counts that were reported: what is undefined was not. */
export function reported(counts: { readonly [K in keyof Usage]: Usage[K] | undefined }): Usage {
  const { inputTokens, outputTokens, cachedInputTokens, cacheWriteTokens, reasoningTokens } = counts;
  const usage: { -readonly [K in keyof Usage]: Usage[K] } = {};
  if (inputTokens !== undefined) usage.inputTokens = inputTokens;
  if (outputTokens !== undefined) usage.outputTokens = outputTokens;
  if (cachedInputTokens !== undefined) usage.cachedInputTokens = cachedInputTokens;
  if (cacheWriteTokens !== undefined) usage.cacheWriteTokens = cacheWriteTokens;
  if (reasoningTokens !== undefined) usage.reasoningTokens = reasoningTokens;
  return usage;
}

/** The meter of an API that costs nothing, such as for counting tokens: its answer is no usage. */
export function createFreeMeter(): Meter {
  const meter: MeterState = {
    usage: {},
    ended: undefined,
    event() {},
    whole() {
      meter.ended = "complete";
    },
  };
  return meter;
}
