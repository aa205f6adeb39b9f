// The virtual names of Fireworks' models: where they lead, by share and by language, and which lists admit them.

import { describe, expect, it } from "vitest";
import { builtInRules } from "../../src/models/built-in.js";
import { type Catalogue, createCatalogue, type ModelRule } from "../../src/models/catalogue.js";

const starcoder = { enterprisePercent: 100, communityPercent: 0 };
const all = ["*"];

function catalogueOf(options: {
  models?: readonly string[];
  shares?: typeof starcoder;
  random?: number;
  rules?: readonly ModelRule[];
}): Catalogue {
  const upstreams = [{ name: "fireworks", kind: "fireworks", models: options.models }];
  const rules = [...builtInRules(upstreams, options.shares ?? starcoder), ...(options.rules ?? [])];
  return createCatalogue(upstreams, rules, () => options.random ?? 0.5);
}

const resolved = (catalogue: Catalogue, model: string, languageId?: string, allowed = all): string =>
  catalogue.resolve({ model, allowed, languageId, upstream: "fireworks" }).route.model;

const own = (model: string): string => `accounts/sourcegraph/models/${model}`;
const shared = (model: string): string => `accounts/fireworks/models/${model}`;

describe("StarCoder", () => {
  it.each([
    // enterprise, community, random, name → model
    [100, 0, 0, "starcoder", own("starcoder-16b")],
    [100, 0, 0.9999, "starcoder", own("starcoder-16b")],
    [0, 0, 0, "starcoder", shared("starcoder-16b")],
    [30, 0, 0.29, "starcoder", own("starcoder-16b")],
    [30, 0, 0.3, "starcoder", shared("starcoder-16b")],
    [100, 0, 0, "starcoder-16b", shared("starcoder-16b")],
    [100, 0, 0, "starcoder-7b", shared("starcoder-7b")],
    [0, 100, 0.9999, "starcoder-7b", own("starcoder-16b")],
    [0, 20, 0.19, "fireworks/STARCODER-7b", own("starcoder-16b")],
    [0, 20, 0.2, "starcoder-7b", shared("starcoder-7b")],
    [100, 0, 0, "starcoder2-15b", own("starcoder2-15b")],
    [100, 0, 0, "starcoder2-7b", own("starcoder2-7b")],
    [100, 0, 0, "deepseek-coder-v2-lite-base", own("deepseek-coder-v2-lite-base")],
    [100, 0, 0, shared("starcoder-16b"), shared("starcoder-16b")],
  ])("at %i and %i percent, with %f, %s is %s", (enterprisePercent, communityPercent, random, name, model) => {
    expect(resolved(catalogueOf({ shares: { enterprisePercent, communityPercent }, random }), name)).toBe(model);
  });

  it("is admitted by the entry `starcoder` in all its forms, and nothing else is", () => {
    for (const allowed of [["starcoder"], ["fireworks/starcoder"], ["Fireworks/StarCoder"]]) {
      const catalogue = catalogueOf({});
      for (const model of [
        "starcoder",
        "starcoder-16b",
        "starcoder-7b",
        ...["starcoder-7b", "starcoder-16b", "starcoder-7b-w8a16", "starcoder-16b-w8a16"].map(shared),
        own("starcoder-16b"),
      ])
        expect(resolved(catalogue, model, undefined, allowed)).toMatch(/starcoder/);
      for (const model of [own("starcoder2-15b"), "starcoder2-15b", shared("starcoder-3b-w8a16")])
        expect(() => resolved(catalogue, model, undefined, allowed)).toThrow("not allowed");
    }
  });

  it("is not served where the gateway's own list has neither the name nor the model", () => {
    const catalogue = catalogueOf({ models: [shared("mixtral-*")] });
    expect(() => resolved(catalogue, "starcoder")).toThrow("not allowed");
    expect(catalogue.list(all)).toEqual([]);
    expect(resolved(catalogueOf({ models: ["starcoder"] }), "starcoder")).toBe(own("starcoder-16b"));
    expect(resolved(catalogueOf({ models: [own("*")] }), "starcoder")).toBe(own("starcoder-16b"));
  });
});

describe("models by language", () => {
  const stack = "fim-lang-specific-model-deepseek-stack-trained";
  const logs = "fim-lang-specific-model-deepseek-logs-trained";
  const mixtral = "fim-lang-specific-model-mixtral";

  it.each([
    [stack, "typescript", "finetuned-fim-lang-ts-model-deepseek-7b-stack-trained-v1"],
    [stack, "typescriptreact", "finetuned-fim-lang-ts-model-deepseek-7b-stack-trained-v1"],
    [stack, "javascript", "finetuned-fim-lang-ts-model-deepseek-7b-stack-trained-v1"],
    [stack, "JavaScriptReact", "finetuned-fim-lang-ts-model-deepseek-7b-stack-trained-v1"],
    [stack, "python", "finetuned-fim-lang-py-model-deepseek-7b-stack-trained-v1"],
    [stack, "go", "deepseek-coder-7b-base"],
    [stack, undefined, "deepseek-coder-7b-base"],
    [stack, "", "deepseek-coder-7b-base"],
    [logs, "typescript", "finetuned-fim-lang-ts-model-deepseek-7b-logs-trained-v1"],
    [logs, "javascript", "finetuned-fim-lang-js-model-deepseek-7b-logs-trained-v1"],
    [logs, "typescriptreact", "finetuned-fim-lang-tsx-jsx-model-deepseek-7b-logs-trained-v1"],
    [logs, "javascriptreact", "finetuned-fim-lang-tsx-jsx-model-deepseek-7b-logs-trained-v1"],
    [logs, "python", "finetuned-fim-lang-py-model-deepseek-7b-logs-trained-v1"],
    [logs, "rust", "deepseek-coder-7b-base"],
    [mixtral, "typescript", "finetuned-fim-lang-typescript-model-mixtral-8x7b"],
    [mixtral, "typescriptreact", "finetuned-fim-lang-typescript-model-mixtral-8x7b"],
    [mixtral, "javascript", "finetuned-fim-lang-javascript-model-mixtral-8x7b"],
    [mixtral, "javascriptreact", "finetuned-fim-lang-jsx-model-mixtral-8x7b"],
    [mixtral, "php", "finetuned-fim-lang-php-model-mixtral-8x7b"],
    [mixtral, "python", "finetuned-fim-lang-python-model-mixtral-8x7b"],
    [mixtral, "java", "finetuned-fim-lang-all-model-mixtral-8x7b"],
    [mixtral, "__proto__", "finetuned-fim-lang-all-model-mixtral-8x7b"],
  ])("%s for %s is %s", (name, language, model) => {
    expect(resolved(catalogueOf({}), name, language)).toBe(own(model));
  });

  it("are refused where the actor has another language's only", () => {
    const allowed = [own("finetuned-fim-lang-py-model-*")].map((model) => `fireworks/${model}`);
    expect(resolved(catalogueOf({}), stack, "python", allowed)).toMatch(/-py-/);
    expect(() => resolved(catalogueOf({}), stack, "go", allowed)).toThrow("not allowed");
  });

  it("give way to an operator's rule of the same name", () => {
    const rules: ModelRule[] = [
      {
        id: `fireworks/${stack}`,
        routes: [
          { model: `fireworks/${shared("a")}`, weight: 1, languages: ["go"] },
          { model: `fireworks/${shared("b")}`, weight: 1 },
        ],
        prices: undefined,
      },
    ];
    expect(resolved(catalogueOf({ rules }), stack, "go")).toBe(shared("a"));
    expect(resolved(catalogueOf({ rules }), stack, "python")).toBe(shared("b"));
  });
});

describe("another name of the upstream", () => {
  it("has the same virtual models below it", () => {
    const upstreams = [{ name: "fw", kind: "fireworks", models: undefined }];
    const catalogue = createCatalogue(upstreams, builtInRules(upstreams, starcoder));
    expect(catalogue.resolve({ model: "fw/starcoder", allowed: ["fw/starcoder"] }).route.name).toBe(
      `fw/${own("starcoder-16b")}`,
    );
  });
});
