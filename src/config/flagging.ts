// Checks of prompts: the variables of the existing gateway, which are the same for all providers, and the file's section.

import * as z from "zod";
import { expressionProblem } from "../guard/expressions.js";
import { cellsOf, maxCells } from "../guard/phrases.js";
import type { GuardPolicy, GuardRules, Pattern } from "../guard/rules.js";
import * as as from "./schemas.js";
import { secret, setting } from "./setting.js";
import { strict } from "./strict.js";
import type { FlaggingConfig } from "./types.js";

const anthropic = (name: string): string => `CODY_GATEWAY_ANTHROPIC_${name}`;
const onceSet = "once any check is set";

/** Their settings. `ANTHROPIC` in the names is history: they hold for all providers. */
export const flagging = {
  flagOutputTokens: setting(
    anthropic("MAX_TOKENS_TO_SAMPLE_FLAGGING_LIMIT"),
    as.integer(1).optional(),
    `Requests that ask for more output tokens are flagged. Unset: 4000, ${onceSet}.`,
  ),
  blockOutputTokens: setting(
    anthropic("RESPONSE_TOKEN_BLOCKING_LIMIT"),
    as.integer(1).optional(),
    `Requests that ask for more output tokens are blocked. Unset: 4000, ${onceSet}.`,
  ),
  flagPromptTokens: setting(
    anthropic("PROMPT_TOKEN_FLAGGING_LIMIT"),
    as.integer(1).optional(),
    `Prompts of more tokens are flagged. Unset: 18000, ${onceSet}.`,
  ),
  blockPromptTokens: setting(
    anthropic("PROMPT_TOKEN_BLOCKING_LIMIT"),
    as.integer(1).optional(),
    `Prompts of more tokens are blocked. Unset: 20000, ${onceSet}.`,
  ),
  allowedPhrases: setting(
    anthropic("ALLOWED_PROMPT_PATTERNS"),
    phraseList().optional(),
    "Phrases, comma separated, without regard to case: a prompt that has none of them is flagged.",
  ),
  blockedPhrases: setting(
    anthropic("BLOCKED_PROMPT_PATTERNS"),
    phraseList().optional(),
    "Phrases, comma separated, without regard to case: a prompt that has one of them is blocked.",
  ),
  flaggedModels: setting(
    anthropic("FLAGGED_MODEL_NAMES"),
    as.list.optional(),
    "Models, in their provider's own names, comma separated, with patterns: requests for them are flagged.",
  ),
  blocking: setting(
    anthropic("REQUEST_BLOCKING_ENABLED"),
    as.boolean.optional(),
    "Whether what is to be blocked is refused. Unset: it is only flagged.",
  ),
  flaggedTtlMs: setting(
    "CODY_GATEWAY_DOTCOM_FLAGGED_PROMPT_RECORDER_TTL",
    as.retention.prefault("1h"),
    "How long flagged prompts are kept.",
  ),
  flaggedKeys: secret(
    "CODY_GATEWAY_FLAGGED_PROMPTS_KEYS",
    as.sealingKeys.optional(),
    "Keys under which flagged prompts are encrypted: `name:64 hex digits`, comma separated. The first one encrypts, all decrypt. Unset: prompts are not kept.",
  ),
  flaggedSources: setting(
    "CODY_GATEWAY_FLAGGED_PROMPTS_SOURCES",
    as.list.prefault("dotcom-user"),
    "Sources of the actors whose flagged prompts are kept, comma separated. The subscription of Sourcegraph.com itself counts to `dotcom-user`.",
  ),
  flaggedMost: setting(
    "CODY_GATEWAY_FLAGGED_PROMPTS_MAX",
    as.integer(1, 100_000).prefault("1000"),
    "Most flagged prompts that are kept, of 32 KiB at most each; of more, the oldest go.",
  ),
};

function phraseList() {
  return as.list.superRefine((phrases, context) => {
    if (cellsOf(phrases) > maxCells) context.addIssue({ code: "custom", message: tooLong });
  });
}

const tooLong = "expected phrases that are shorter, or fewer, all together";

type Values = { readonly [K in keyof typeof flagging]: z.output<(typeof flagging)[K]["schema"]> };

/** What the variables say of checks: the same rules for all upstreams. Undefined where none is set: nothing is checked. */
function rulesOf(values: Values): GuardRules | undefined {
  const { flagPromptTokens, blockPromptTokens, flagOutputTokens, blockOutputTokens } = values;
  const { allowedPhrases, blockedPhrases, flaggedModels, blocking } = values;
  const set = [flagPromptTokens, blockPromptTokens, flagOutputTokens, blockOutputTokens, allowedPhrases];
  if ([...set, blockedPhrases, flaggedModels, blocking].every((value) => value === undefined)) return undefined;
  const toPattern = (phrase: string): Pattern => ({ phrase });
  return {
    promptTokens: { flag: flagPromptTokens ?? 18_000, block: blockPromptTokens ?? 20_000 },
    outputTokens: { flag: flagOutputTokens ?? 4_000, block: blockOutputTokens ?? 4_000 },
    models: { flag: flaggedModels ?? [], block: [] },
    allowed: (allowedPhrases ?? []).map(toPattern),
    blocked: (blockedPhrases ?? []).map(toPattern),
    blocking: blocking ?? false,
  };
}

/** What variables and file say together. Rules of the file take the place of those of the variables. */
export function flaggingOf(values: Values, file: FlaggingFile): FlaggingConfig {
  const { [everyProvider]: common = rulesOf(values), ...named } = file;
  return {
    policy: { common, upstreams: new Map(Object.entries(named)) } satisfies GuardPolicy,
    kept: {
      ttlMs: values.flaggedTtlMs,
      keys: values.flaggedKeys ?? [],
      sources: values.flaggedSources,
      most: values.flaggedMost,
    },
  };
}

/** The section of the file: rules by the name of a provider. */
export type FlaggingFile = Readonly<Record<string, GuardRules>>;

/** In place of a name: all providers that are not named. */
export const everyProvider = "*";

const count = z.number("expected a whole number from 1").int().min(1);
const bounds = strict({ flag: count.optional(), block: count.optional() }).transform(({ flag, block }) => ({
  flag,
  block,
}));
const modelPatterns = z
  .array(z.string().regex(/^[\x21-\x7e]{1,250}$/, "expected a model name or a pattern"))
  .default([]);

const expression = z
  .string()
  .min(1)
  .max(2_000)
  .superRefine((text, context) => {
    const message = expressionProblem(text);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });
const phrase = z.string().trim().min(1, "expected a phrase").max(1_000);
const pattern = z.union([phrase.transform((text): Pattern => ({ phrase: text })), strict({ regexp: expression })], {
  error: "expected a phrase, or regexp: a regular expression",
});

const patternList = z
  .array(pattern)
  .max(1_000)
  .default([])
  .superRefine((all, context) => {
    const phrases = all.flatMap((each) => ("phrase" in each ? [each.phrase] : []));
    if (cellsOf(phrases) > maxCells) context.addIssue({ code: "custom", message: tooLong });
  });

const none = { flag: undefined, block: undefined };

const rules = strict({
  promptTokens: bounds.default(none),
  outputTokens: bounds.default(none),
  models: strict({ flag: modelPatterns, block: modelPatterns }).default({ flag: [], block: [] }),
  allowed: patternList,
  blocked: patternList,
  blocking: z.boolean("expected true or false").default(false),
});

export const flaggingSection = z.record(z.string(), rules);

/** What must hold between the section and the providers there are. */
export function checkFlagging(section: unknown, providers: ReadonlySet<unknown>) {
  if (typeof section !== "object" || section === null) return [];
  return Object.keys(section)
    .filter((name) => name !== everyProvider && !providers.has(name))
    .map((name) => ({
      path: ["flagging", name],
      message: `expected the name of a configured provider, or ${everyProvider} for all others`,
    }));
}
