// What the checks of prompts look for, as an operator sets it.

/** Words to look for in prompts, without regard to case. */
export type Pattern =
  /** Anywhere, as it is. */
  | { readonly phrase: string }
  /** A regular expression in RE2's syntax: https://github.com/google/re2/wiki/Syntax */
  | { readonly regexp: string };

/** Above which a number of tokens is flagged, and above which it is blocked. Undefined: never. */
export interface TokenBounds {
  readonly flag: number | undefined;
  readonly block: number | undefined;
}

/** The checks of requests to one upstream. */
export interface GuardRules {
  /** Tokens of the prompt. */
  readonly promptTokens: TokenBounds;
  /** Most output tokens that a request asks for. */
  readonly outputTokens: TokenBounds;
  /** Patterns of models, in the upstream's own names, that are flagged or blocked. */
  readonly models: { readonly flag: readonly string[]; readonly block: readonly string[] };
  /** A prompt without any of these is flagged; empty: all are known. */
  readonly allowed: readonly Pattern[];
  /** A prompt with one of these is blocked. */
  readonly blocked: readonly Pattern[];
  /** Whether what is to be blocked is; otherwise it is only flagged. */
  readonly blocking: boolean;
}

/** What is checked where. */
export interface GuardPolicy {
  /** For upstreams that have no rules of their own; undefined: nothing is checked there. */
  readonly common: GuardRules | undefined;
  /** By the upstream's name. */
  readonly upstreams: ReadonlyMap<string, GuardRules>;
}
