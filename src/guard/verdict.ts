// What a check found.

/**
 * Why a request was flagged. The first four are the words of the existing gateway; each reason to block has a word of its own
 * there, where that one said `blocked_phrase` for all.
 */
export const flagReasons = [
  "model_used",
  "unknown_prompt",
  "high_max_tokens_to_sample",
  "high_prompt_token_count",
  "blocked_phrase",
  "blocked_model",
  "blocked_max_tokens_to_sample",
  "blocked_prompt_token_count",
  "unreadable_prompt",
] as const;

export type FlagReason = (typeof flagReasons)[number];

/** A request that is flagged. */
export interface Verdict {
  /** At least one. */
  readonly reasons: readonly FlagReason[];
  /** Whether it is refused. */
  readonly blocked: boolean;
  /** The beginning of the blocked phrase, as it is configured, that the prompt has. */
  readonly blockedPhrase: string | undefined;
  /** Where they were counted. Counting stops above the highest bound. */
  readonly promptTokens: number | undefined;
  readonly maxOutputTokens: number | undefined;
}
