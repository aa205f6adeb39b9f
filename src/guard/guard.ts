// Checks of requests against acceptable use: what they ask for and what their prompts say.

import { UnavailableError } from "../errors.js";
import { compileGlobs } from "../lib/glob.js";
import { createExpressionFinder, type ExpressionFinder, type SetMatch } from "./expressions.js";
import { createPhraseFinder, type PhraseFinder, type PhraseSearch } from "./phrases.js";
import type { GuardPolicy, GuardRules, Pattern, TokenBounds } from "./rules.js";
import type { FlagReason, Verdict } from "./verdict.js";

/** What a request asks for. */
export interface Subject {
  /** Names of the model: as the caller wrote it and as the upstream is told. */
  readonly models: readonly string[];
  readonly maxOutputTokens: number | undefined;
  /** Whether some of the prompt is given in numbers of tokens, which only the model can read. */
  readonly numbered: boolean;
  /** Called once, and only where it is looked at. */
  prompt(): string;
}

/**
 * Undefined: the request is not flagged. Throws `UnavailableError` where it could not be told whether it is to be blocked: too
 * many wait for that.
 */
export type Check = (subject: Subject) => Promise<Verdict | undefined>;

export interface Guard {
  /** Undefined: requests to this upstream are not checked. */
  checkOf(upstream: string): Check | undefined;
  close(): Promise<void>;
}

export interface GuardParts {
  /** As `Tokenizer.count`. */
  countTokens(text: string, enough: number): Promise<number>;
}

/** How much of a text is looked at before others have their turn: a fraction of a millisecond. */
const sliceLength = 65_536;
/** Of a phrase that was found, so much is told. */
const toldLength = 5;
const busyRetryMs = 1_000;

/** Undefined where nothing is checked. */
export function createGuard(parts: GuardParts, policy: GuardPolicy): Guard | undefined {
  const { common, upstreams } = policy;
  const all = [...(common ? [common] : []), ...upstreams.values()].filter(looks);
  if (all.length === 0) return undefined;
  const sets = all.flatMap(({ allowed, blocked }) => [expressionsIn(allowed), expressionsIn(blocked)]);
  const expressions = sets.some(({ length }) => length > 0) ? createExpressionFinder(sets) : undefined;
  const checks = new Map(
    all.map((rules, index) => {
      const [allowedSet, blockedSet] = [2 * index, 2 * index + 1];
      const matchers = {
        allowed: createMatcher(rules.allowed, expressions, allowedSet),
        blocked: createMatcher(rules.blocked, expressions, blockedSet),
      };
      return [rules, createCheck(rules, { ...parts, ...matchers, expressions })] as const;
    }),
  );
  return {
    checkOf(upstream) {
      const rules = upstreams.get(upstream) ?? common;
      return rules && checks.get(rules);
    },
    async close() {
      await expressions?.close();
    },
  };
}

function looks({ promptTokens, outputTokens, models, allowed, blocked }: GuardRules): boolean {
  const bounds = [promptTokens.flag, promptTokens.block, outputTokens.flag, outputTokens.block];
  const patterns = [...models.flag, ...models.block, ...allowed, ...blocked];
  return patterns.length > 0 || bounds.some((bound) => bound !== undefined);
}

function expressionsIn(patterns: readonly Pattern[]): readonly string[] {
  return patterns.flatMap((pattern) => ("regexp" in pattern ? [pattern.regexp] : []));
}

/** Patterns of one list, of which one is enough. */
interface Matcher {
  readonly phrases: PhraseFinder | undefined;
  /** The number of its set of expressions; undefined: it has none. */
  readonly set: number | undefined;
  readonly wordsOf: { phrase(index: number): string; expression(index: number): string };
}

/** Undefined for an empty list. */
function createMatcher(
  patterns: readonly Pattern[],
  expressions: ExpressionFinder | undefined,
  set: number,
): Matcher | undefined {
  if (patterns.length === 0) return undefined;
  const phrases = patterns.flatMap((pattern) => ("phrase" in pattern ? [pattern.phrase] : []));
  const regexps = expressionsIn(patterns);
  return {
    phrases: phrases.length > 0 ? createPhraseFinder(phrases) : undefined,
    set: expressions && regexps.length > 0 ? set : undefined,
    wordsOf: { phrase: (index) => phrases[index] ?? "", expression: (index) => regexps[index] ?? "" },
  };
}

interface CheckParts extends GuardParts {
  readonly allowed: Matcher | undefined;
  readonly blocked: Matcher | undefined;
  readonly expressions: ExpressionFinder | undefined;
}

function createCheck(rules: GuardRules, parts: CheckParts): Check {
  const { promptTokens, outputTokens, blocking } = rules;
  const { allowed, blocked } = parts;
  const flagsModel = compileGlobs(rules.models.flag);
  const blocksModel = compileGlobs(rules.models.block);
  const readsPrompt = [promptTokens.flag, promptTokens.block, allowed, blocked].some((each) => each !== undefined);
  /** What cannot be told: nobody passes by it who is to be blocked, and nobody is held up who would only be flagged. */
  const untold = (): undefined => {
    if (blocking) throw new UnavailableError("OVERLOADED", "too many prompts are being checked", busyRetryMs);
  };

  return async ({ models, maxOutputTokens, numbered, prompt }) => {
    const reasons: FlagReason[] = [];
    const refusals: FlagReason[] = [];
    if (models.some(flagsModel)) reasons.push("model_used");
    if (models.some(blocksModel)) refusals.push("blocked_model");
    if (isAbove(maxOutputTokens, outputTokens.flag)) reasons.push("high_max_tokens_to_sample");
    if (isAbove(maxOutputTokens, outputTokens.block)) refusals.push("blocked_max_tokens_to_sample");

    const text = readsPrompt ? prompt() : "";
    const counted = readsPrompt ? await countAbove(text, promptTokens, parts).catch(untold) : undefined;
    if (isAbove(counted, promptTokens.flag)) reasons.push("high_prompt_token_count");
    if (isAbove(counted, promptTokens.block)) refusals.push("blocked_prompt_token_count");

    const words = allowed || blocked ? ((await wordsIn(text, parts)) ?? untold()) : undefined;
    if (words && allowed && words.allowed === undefined) reasons.push("unknown_prompt");
    if (words?.blocked !== undefined) refusals.push("blocked_phrase");
    if (numbered && blocked) refusals.push("unreadable_prompt");

    if (reasons.length + refusals.length === 0) return undefined;
    return {
      reasons: [...reasons, ...refusals],
      blocked: blocking && refusals.length > 0,
      blockedPhrase: words?.blocked?.slice(0, toldLength),
      promptTokens: counted,
      maxOutputTokens,
    };
  };
}

function isAbove(tokens: number | undefined, bound: number | undefined): boolean {
  return tokens !== undefined && bound !== undefined && tokens > bound;
}

/** Undefined where there are too few for any bound. */
async function countAbove(text: string, { flag, block }: TokenBounds, parts: GuardParts): Promise<number | undefined> {
  const bounds = [flag, block].filter((bound) => bound !== undefined);
  // A token has at least one byte.
  if (bounds.length === 0 || Buffer.byteLength(text) <= Math.min(...bounds)) return undefined;
  return parts.countTokens(text, Math.max(...bounds));
}

/** The words of either list that the text has, if it has any; undefined where that could not be told. */
async function wordsIn(text: string, { allowed, blocked, expressions }: CheckParts) {
  const sets = [allowed?.set, blocked?.set].filter((set) => set !== undefined);
  const matching = sets.length > 0 ? expressions?.matching(text, sets) : Promise.resolve<readonly SetMatch[]>([]);
  const [allowedPhrase, blockedPhrase] = await phrasesIn(text, [allowed?.phrases, blocked?.phrases]);
  const matches = await matching;
  if (!matches) return undefined;
  const found = (matcher: Matcher | undefined, phrase: number | undefined): string | undefined => {
    if (!matcher) return undefined;
    if (phrase !== undefined) return matcher.wordsOf.phrase(phrase);
    const match = matches.find(({ set }) => set === matcher.set);
    return match && matcher.wordsOf.expression(match.expression);
  };
  return { allowed: found(allowed, allowedPhrase), blocked: found(blocked, blockedPhrase) };
}

/** One phrase of each finder that the text has, in slices between which others have their turn. */
async function phrasesIn(
  text: string,
  finders: readonly (PhraseFinder | undefined)[],
): Promise<readonly (number | undefined)[]> {
  const found: (number | undefined)[] = finders.map(() => undefined);
  const searches = finders.map((finder) => finder?.search());
  const look = (search: PhraseSearch | undefined, index: number, slice: string): void => {
    if (found[index] === undefined) found[index] = search?.next(slice);
  };
  const isDone = (): boolean => searches.every((search, index) => search === undefined || found[index] !== undefined);
  for (let at = 0; at < text.length && !isDone(); ) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    const end = sliceEnd(text, at);
    const slice = text.slice(at, end);
    for (const [index, search] of searches.entries()) look(search, index, slice);
    at = end;
  }
  return found;
}

/** A letter of two units is not cut in two: its case could not be told. */
function sliceEnd(text: string, at: number): number {
  const end = Math.min(text.length, at + sliceLength);
  const last = text.charCodeAt(end - 1);
  return end < text.length && last >= 0xd800 && last <= 0xdbff ? end - 1 : end;
}
