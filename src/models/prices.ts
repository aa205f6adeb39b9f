/** What a model costs: US dollars for a million tokens, which is microdollars for one. */
export interface Prices {
  readonly inputPerMillion: number;
  readonly outputPerMillion: number;
  /** Input read from the provider's prompt cache; undefined: as other input. */
  readonly cachedInputPerMillion?: number | undefined;
  /** Input written to the provider's prompt cache; undefined: as other input. */
  readonly cacheWritePerMillion?: number | undefined;
}

/** What was used. The cached and written tokens are part of the input, and unknown is none. */
export interface TokenCounts {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cachedInputTokens?: number;
  readonly cacheWriteTokens?: number;
}

/** What that cost, in whole microdollars; a part of one counts as one. */
export function microdollars(used: TokenCounts, prices: Prices): number {
  const { inputTokens = 0, outputTokens = 0, cachedInputTokens = 0, cacheWriteTokens = 0 } = used;
  const plainInput = Math.max(0, inputTokens - cachedInputTokens - cacheWriteTokens);
  const cost =
    plainInput * prices.inputPerMillion +
    cachedInputTokens * (prices.cachedInputPerMillion ?? prices.inputPerMillion) +
    cacheWriteTokens * (prices.cacheWritePerMillion ?? prices.inputPerMillion) +
    outputTokens * prices.outputPerMillion;
  // 100 tokens at 0.07 are 7, not 7.000000000000001 and so 8.
  return Math.ceil(Math.round(cost * 1e6) / 1e6);
}
