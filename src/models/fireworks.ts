// Names that Cody calls Fireworks' models by, and what they stand for. Names are native; the ids of languages are those of
// LSP: https://microsoft.github.io/language-server-protocol/specifications/lsp/3.17/specification/#textDocumentItem

const own = (model: string): string => `accounts/sourcegraph/models/${model}`;
const shared = (model: string): string => `accounts/fireworks/models/${model}`;

/** One of the models that a name stands for, as `RuleRoute` has it. */
interface NativeRoute {
  readonly model: string;
  readonly weight: number;
  readonly languages?: readonly string[];
}

/** How many of a hundred requests for StarCoder go to the single-tenant model. */
export interface StarcoderShares {
  /** Of those for `starcoder`. */
  readonly enterprisePercent: number;
  /** Of those for `starcoder-16b` and `starcoder-7b`. */
  readonly communityPercent: number;
}

/** The virtual models. */
export function fireworksVirtuals(shares: StarcoderShares): ReadonlyMap<string, readonly NativeRoute[]> {
  return new Map([
    ["starcoder", starcoder(shares.enterprisePercent, "starcoder-16b")],
    ["starcoder-16b", starcoder(shares.communityPercent, "starcoder-16b")],
    ["starcoder-7b", starcoder(shares.communityPercent, "starcoder-7b")],
    ...aliases.map((name): [string, readonly NativeRoute[]] => [name, [{ model: own(name), weight: 1 }]]),
    ...byLanguage,
  ]);
}

function starcoder(ownPercent: number, other: string): readonly NativeRoute[] {
  return [
    { model: own("starcoder-16b"), weight: ownPercent },
    { model: shared(other), weight: 100 - ownPercent },
  ];
}

/** Short names of single-tenant models. */
const aliases = ["starcoder2-15b", "starcoder2-7b", "deepseek-coder-v2-lite-base"];

const stack = (language: string): string => own(`finetuned-fim-lang-${language}-model-deepseek-7b-stack-trained-v1`);
const logs = (language: string): string => own(`finetuned-fim-lang-${language}-model-deepseek-7b-logs-trained-v1`);
const mixtral = (language: string): string => own(`finetuned-fim-lang-${language}-model-mixtral-8x7b`);
const otherLanguages = { model: own("deepseek-coder-7b-base"), weight: 1 };

const byLanguage = new Map<string, readonly NativeRoute[]>([
  [
    "fim-lang-specific-model-deepseek-stack-trained",
    [
      {
        model: stack("ts"),
        weight: 1,
        languages: ["typescript", "typescriptreact", "javascript", "javascriptreact"],
      },
      { model: stack("py"), weight: 1, languages: ["python"] },
      otherLanguages,
    ],
  ],
  [
    "fim-lang-specific-model-deepseek-logs-trained",
    [
      { model: logs("ts"), weight: 1, languages: ["typescript"] },
      { model: logs("js"), weight: 1, languages: ["javascript"] },
      { model: logs("tsx-jsx"), weight: 1, languages: ["typescriptreact", "javascriptreact"] },
      { model: logs("py"), weight: 1, languages: ["python"] },
      otherLanguages,
    ],
  ],
  [
    "fim-lang-specific-model-mixtral",
    [
      { model: mixtral("typescript"), weight: 1, languages: ["typescript", "typescriptreact"] },
      { model: mixtral("javascript"), weight: 1, languages: ["javascript"] },
      { model: mixtral("jsx"), weight: 1, languages: ["javascriptreact"] },
      { model: mixtral("php"), weight: 1, languages: ["php"] },
      { model: mixtral("python"), weight: 1, languages: ["python"] },
      { model: mixtral("all"), weight: 1 },
    ],
  ],
]);

/** Names that an entry of an allow list admits beside itself: lists of old actors say `starcoder` for all of these. */
export const fireworksFamilies: ReadonlyMap<string, readonly string[]> = new Map([
  [
    "starcoder",
    [
      ...["starcoder-7b", "starcoder-16b", "starcoder-7b-w8a16", "starcoder-16b-w8a16"].map(shared),
      own("starcoder-16b"),
    ],
  ],
]);

/** What is served when the configuration does not say. */
export const fireworksModels: readonly string[] = [
  "starcoder",
  "starcoder-16b",
  "starcoder-7b",
  ...aliases,
  ...byLanguage.keys(),
  ...["starcoder2-15b", "starcoder2-7b", "starcoder-16b"].map(own),
  ...["starcoder-16b", "starcoder-7b", "starcoder-16b-w8a16", "starcoder-7b-w8a16"].map(shared),
  ...["starcoder-3b-w8a16", "starcoder-1b-w8a16"].map(shared),
  ...["llama-v2-7b-code", "llama-v2-13b-code", "llama-v2-13b-code-instruct", "llama-v2-34b-code-instruct"].map(shared),
  ...["mistral-7b-instruct-4k", "mixtral-8x7b-instruct", "mixtral-8x22b-instruct"].map(shared),
  ...["custom-deepseek-1p3b-base-hf-version", "deepseek-coder-7b-base", "deepseek-coder-v2-lite-base"].map(own),
  own("code-qwen-1p5-7b"),
  ...["typescript", "javascript", "php", "python"].map((language) =>
    own(`lang-${language}-context-fim-meta-llama-3-8b-instruct-e-1`),
  ),
  own("finetuned-fim-lang-all-model-meta-llama-3-8b"),
  ...["typescript", "javascript", "jsx", "php", "python", "all"].map(mixtral),
  ...["ts", "py"].map(stack),
  ...["ts", "js", "tsx-jsx", "py"].map(logs),
  shared("*"),
  own("*"),
];
