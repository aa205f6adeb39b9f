import { describe, expect, it } from "vitest";
import { createCatalogue, type ModelRule } from "../../src/models/catalogue.js";
import { defaultModels } from "../../src/models/defaults.js";

const upstreams = [
  { name: "anthropic", kind: "anthropic", models: ["claude-3-Opus", "claude-2*"] },
  { name: "openai", kind: "openai", models: ["gpt-4", "gpt-4o"] },
  { name: "local", kind: "openai-compatible", models: ["*"] },
  { name: "Spare", kind: "anthropic", models: ["claude-3-opus"] },
];

const catalogue = createCatalogue(upstreams);
const all = ["*"];

describe("resolve", () => {
  it.each([
    // model, upstream, allowed → name
    ["anthropic/claude-3-Opus", undefined, all, "anthropic/claude-3-Opus"],
    ["ANTHROPIC/CLAUDE-3-OPUS", undefined, all, "anthropic/claude-3-Opus"],
    ["claude-3-opus", "anthropic", all, "anthropic/claude-3-Opus"],
    ["anthropic/claude-3-opus", "anthropic", all, "anthropic/claude-3-Opus"],
    ["Anthropic/claude-3-opus", "anthropic", ["claude-3-opus"], "anthropic/claude-3-Opus"],
    ["claude-2.1", "anthropic", all, "anthropic/claude-2.1"],
    ["Claude-2.1", "anthropic", ["anthropic/claude-2.1"], "anthropic/Claude-2.1"],
    ["claude-2.1", "anthropic", ["anthropic/*"], "anthropic/claude-2.1"],
    ["claude-2.1", "anthropic", ["claude-*"], "anthropic/claude-2.1"],
    ["claude-2.1", "anthropic", ["openai/*", "*"], "anthropic/claude-2.1"],
    ["local/meta-llama/Llama-3", undefined, all, "local/meta-llama/Llama-3"],
    ["meta-llama/Llama-3", "local", ["local/meta-llama/*"], "local/meta-llama/Llama-3"],
    ["local/local/x", "local", all, "local/local/x"],
    ["spare/claude-3-opus", undefined, all, "Spare/claude-3-opus"],
    ["claude-3-opus", "Spare", ["spare/claude-3-opus"], "Spare/claude-3-opus"],
  ])("%s at %s for %j is %s", (model, upstream, allowed, name) => {
    const route = catalogue.resolve({ model, upstream, allowed }).route;
    expect(route).toMatchObject({ name, upstream: name.slice(0, name.indexOf("/")), prices: undefined });
    expect(`${route.upstream}/${route.model}`).toBe(name);
  });

  it.each([
    ["claude-x", "anthropic", all, "anthropic/claude-x", ["anthropic/claude-3-Opus", "anthropic/claude-2*"]],
    ["anthropic/claude-x", undefined, all, "anthropic/claude-x", ["anthropic/claude-3-Opus", "anthropic/claude-2*"]],
    ["gpt-4", "openai", ["gpt-4o", "claude-2"], "openai/gpt-4", ["openai/gpt-4o"]],
    ["gpt-4", "openai", ["openai/gpt-4o", "openai/gpt-5"], "openai/gpt-4", ["openai/gpt-4o"]],
    [
      "claude-2.1",
      "anthropic",
      ["claude-2.0", "claude-3*"],
      "anthropic/claude-2.1",
      ["anthropic/claude-3-Opus", "anthropic/claude-2.0"],
    ],
    ["gpt-4", "openai", [], "openai/gpt-4", []],
    ["gpt-4", "openai", ["anthropic/*"], "openai/gpt-4", []],
    [
      "gpt-4",
      undefined,
      all,
      "gpt-4",
      [
        "anthropic/claude-3-Opus",
        "anthropic/claude-2*",
        "openai/gpt-4",
        "openai/gpt-4o",
        "local/*",
        "Spare/claude-3-opus",
      ],
    ],
    ["nowhere/gpt-4", undefined, ["openai/gpt-4"], "nowhere/gpt-4", ["openai/gpt-4"]],
    ["openai/openai/gpt-4", "openai", all, "openai/openai/gpt-4", ["openai/gpt-4", "openai/gpt-4o"]],
    ["gpt-4", "anthropic", all, "anthropic/gpt-4", ["anthropic/claude-3-Opus", "anthropic/claude-2*"]],
    ["openai/gpt-4", "anthropic", all, "anthropic/openai/gpt-4", ["anthropic/claude-3-Opus", "anthropic/claude-2*"]],
    ["__proto__", "openai", all, "openai/__proto__", ["openai/gpt-4", "openai/gpt-4o"]],
    ["constructor/x", undefined, [], "constructor/x", []],
    ["openai/", undefined, all, "openai/", ["openai/gpt-4", "openai/gpt-4o"]],
    ["/gpt-4", undefined, [], "/gpt-4", []],
    ["*", "openai", all, "openai/*", ["openai/gpt-4", "openai/gpt-4o"]],
    ["gpt-4 o", "openai", all, "openai/gpt-4 o", ["openai/gpt-4", "openai/gpt-4o"]],
  ])("%s at %s for %j is not allowed", (model, upstream, allowed, name, effective) => {
    expect(() => catalogue.resolve({ model, upstream, allowed }).route).toThrow(
      expect.objectContaining({ reason: "MODEL_NOT_ALLOWED", model: name, allowed: effective }),
    );
  });

  it.each(["", " ", "gpt-4 ", "\tgpt-4", "gpt-4\n", "gpt\u0000-4", "gpt-4\u202e", "gpt-4\ud800", "x".repeat(257)])(
    "refuses %j as a name",
    (model) => {
      for (const upstream of [undefined, "local"])
        expect(() => catalogue.resolve({ model, upstream, allowed: all }).route).toThrow(
          expect.objectContaining({ reason: "INVALID_REQUEST", field: "model" }),
        );
    },
  );

  it("takes names up to the bound", () => {
    const model = "x".repeat(256);
    expect(catalogue.resolve({ model, upstream: "local", allowed: all }).route.model).toBe(model);
  });

  it("does not change the actor's list", () => {
    const allowed = Object.freeze(["gpt-4", "*"]);
    catalogue.resolve({ model: "gpt-4", upstream: "openai", allowed });
    catalogue.resolve({ model: "claude-3-opus", upstream: "anthropic", allowed });
    expect(allowed).toEqual(["gpt-4", "*"]);
  });

  it("serves the defaults of its kind where nothing is configured, and nothing where there are none", () => {
    const plain = createCatalogue([
      { name: "anthropic", kind: "anthropic", models: undefined },
      { name: "openai", kind: "openai", models: undefined },
      { name: "google", kind: "google", models: undefined },
      { name: "fireworks", kind: "fireworks", models: undefined },
      { name: "other", kind: "other", models: undefined },
    ]);
    for (const name of [
      "anthropic/claude-2.0",
      "anthropic/claude-opus-5",
      "openai/gpt-5.1",
      "openai/o3-mini",
      "openai/o9",
      "openai/chatgpt-4o-latest",
      "google/gemini-1.5-pro-latest",
      "google/gemini-9-flash",
      "fireworks/accounts/fireworks/models/llama-v9-instruct",
      "fireworks/accounts/sourcegraph/models/code-qwen-1p5-7b",
    ])
      expect(plain.resolve({ model: name, allowed: all }).route.name).toBe(name);
    for (const name of [
      "anthropic/gpt-4",
      "openai/claude-2",
      "openai/davinci",
      "openai/other",
      "google/x",
      "fireworks/x",
      "other/x",
    ])
      expect(() => plain.resolve({ model: name, allowed: all }).route).toThrow("not allowed");
    expect(defaultModels.get("anthropic")).toHaveLength(24);
  });
});

describe("virtual models", () => {
  const rules: ModelRule[] = [
    {
      id: "virtual/mix",
      routes: [
        { model: "openai/gpt-4", weight: 3 },
        { model: "local/x", weight: 1 },
      ],
      prices: undefined,
    },
    { id: "anthropic/latest", routes: [{ model: "anthropic/CLAUDE-3-opus", weight: 1 }], prices: undefined },
    {
      id: "anthropic/any",
      routes: [
        { model: "openai/gpt-4", weight: 1 },
        { model: "spare/claude-9", weight: 1 },
      ],
      prices: undefined,
    },
    { id: "virtual/lost", routes: [{ model: "gone/x", weight: 1 }], prices: undefined },
  ];
  const at = (random: number) => createCatalogue(upstreams, rules, () => random);

  it.each([
    [0, "openai/gpt-4"],
    [0.74, "openai/gpt-4"],
    [0.75, "local/x"],
    [0.999, "local/x"],
  ])("choose by weight: at %f it is %s", (random, name) => {
    expect(at(random).resolve({ model: "Virtual/Mix", allowed: all }).route.name).toBe(name);
  });

  it("are allowed by their own name or by that of what they stand for", () => {
    const model = "virtual/mix";
    expect(at(0.9).resolve({ model, allowed: [model] }).route.name).toBe("local/x");
    expect(at(0.9).resolve({ model, allowed: ["openai/gpt-4"] }).route.name).toBe("openai/gpt-4");
    expect(() => at(0.9).resolve({ model, allowed: ["anthropic/*"] }).route).toThrow("not allowed");
  });

  it("resolve to the spelling of the upstream's list, on either edge", () => {
    expect(at(0).resolve({ model: "latest", upstream: "anthropic", allowed: ["latest"] }).route.model).toBe(
      "claude-3-Opus",
    );
    expect(at(0).resolve({ model: "anthropic/latest", allowed: ["latest"] }).route.name).toBe(
      "anthropic/claude-3-Opus",
    );
  });

  it("never lead a native body to an upstream that speaks otherwise", () => {
    expect(at(0).resolve({ model: "any", upstream: "anthropic", allowed: all }).route.name).toBe("Spare/claude-9");
    expect(at(0).resolve({ model: "anthropic/any", allowed: all }).route.name).toBe("openai/gpt-4");
    expect(() => at(0).resolve({ model: "virtual/mix", upstream: "anthropic", allowed: all }).route).toThrow(
      "not allowed",
    );
  });

  it("lead nowhere when their upstream does not exist", () => {
    expect(() => at(0).resolve({ model: "virtual/lost", allowed: all }).route).toThrow("not allowed");
  });

  it("are listed with what serves them", () => {
    const listed = at(0).list(["virtual/*", "anthropic/latest"]);
    expect(listed).toEqual([
      {
        name: "anthropic/latest",
        upstream: "anthropic",
        model: "latest",
        leadsTo: [{ upstream: "anthropic", model: "claude-3-Opus" }],
      },
      {
        name: "virtual/mix",
        upstream: undefined,
        model: "virtual/mix",
        leadsTo: [
          { upstream: "openai", model: "gpt-4" },
          { upstream: "local", model: "x" },
        ],
      },
    ]);
  });
});

describe("prices", () => {
  const rules: ModelRule[] = [
    { id: "local/*", routes: [], prices: prices(1) },
    { id: "local/big*", routes: [], prices: prices(2) },
    { id: "LOCAL/big-one", routes: [], prices: prices(3) },
    { id: "virtual/a", routes: [{ model: "local/big-one", weight: 1 }], prices: prices(4) },
    { id: "virtual/b", routes: [{ model: "local/big-one", weight: 1 }], prices: undefined },
  ];
  const priced = createCatalogue(upstreams, rules);

  it.each([
    ["local/small", 1],
    ["local/big", 1],
    ["local/Big-One", 3],
    ["virtual/a", 4],
    ["virtual/b", 3],
    ["openai/gpt-4", undefined],
  ])("of %s", (model, expected) => {
    expect(priced.resolve({ model, allowed: all }).route.prices?.inputPerMillion).toBe(expected);
  });
});

describe("list", () => {
  it("has the exact names of the allow lists, in order", () => {
    expect(names(all)).toEqual(["Spare/claude-3-opus", "anthropic/claude-3-Opus", "openai/gpt-4", "openai/gpt-4o"]);
    expect(names(["gpt-4", "openai/gpt-5", "anthropic/claude-2.1"])).toEqual(["anthropic/claude-2.1", "openai/gpt-4"]);
    expect(names([])).toEqual([]);
  });

  it("has what the upstreams say they have, as far as both lists admit it", () => {
    const discovered = new Map([
      ["anthropic", ["claude-2.0", "claude-3-OPUS", "claude-9"]],
      ["local", ["meta-llama/Llama-3", "other", "meta\u0007", ""]],
    ]);
    expect(names(["anthropic/*", "local/meta*"], discovered)).toEqual([
      "anthropic/claude-2.0",
      "anthropic/claude-3-Opus",
      "local/meta-llama/Llama-3",
    ]);
  });

  it("has the native names for the upstream's own routes", () => {
    expect(catalogue.list(["gpt-4"])).toEqual([
      { name: "openai/gpt-4", upstream: "openai", model: "gpt-4", leadsTo: [{ upstream: "openai", model: "gpt-4" }] },
    ]);
  });

  it("has every name that resolves, and no other", () => {
    for (const allowed of [all, ["gpt-4"], ["anthropic/*", "spare/*"], ["claude-3-opus"]])
      for (const { name, upstream, model } of catalogue.list(allowed)) {
        expect(catalogue.resolve({ model: name, allowed }).route.name).toBe(name);
        expect(catalogue.resolve({ model, upstream, allowed }).route.name).toBe(name);
      }
  });

  it("gives the patterns of further names", () => {
    expect(catalogue.patterns(all)).toEqual(["anthropic/claude-2*", "local/*"]);
    expect(catalogue.patterns(["anthropic/*"])).toEqual(["anthropic/claude-2*"]);
    expect(catalogue.patterns(["claude-*", "local/x"])).toEqual(["anthropic/claude-2*", "local/claude-*"]);
    expect(catalogue.patterns(["openai/*"])).toEqual([]);
  });
});

it("finds upstreams of its configuration only", () => {
  expect(() => catalogue.resolve({ model: "x", upstream: "nowhere", allowed: all }).route).toThrow(
    "no upstream named nowhere",
  );
});

function prices(inputPerMillion: number) {
  return { inputPerMillion, outputPerMillion: 1 };
}

function names(allowed: string[], discovered?: Map<string, string[]>): string[] {
  return catalogue.list(allowed, discovered).map(({ name }) => name);
}

describe("what may take over", () => {
  const rules: readonly ModelRule[] = [
    { id: "openai/gpt-4", routes: [], prices: undefined, fallbacks: ["local/x", "anthropic/claude-2.1", "gone/x"] },
    { id: "anthropic/*", routes: [], prices: undefined, fallbacks: ["openai/gpt-4o", "anthropic/claude-2.1"] },
    {
      id: "virtual/mix",
      routes: [
        { model: "openai/gpt-4", weight: 1 },
        { model: "local/y", weight: 1 },
      ],
      prices: undefined,
      fallbacks: ["local/x", "local/last"],
    },
  ];
  const ruled = createCatalogue(upstreams, rules, () => 0);
  const othersOf = (model: string, allowed: readonly string[] = all): string[] =>
    ruled.resolve({ model, allowed }).others.map(({ name }) => name);

  it.each([
    ["local/x", []],
    ["openai/gpt-4o", []],
    ["OpenAI/GPT-4", ["local/x", "anthropic/claude-2.1"]],
    ["anthropic/claude-3-opus", ["openai/gpt-4o", "anthropic/claude-2.1"]],
    // Not itself.
    ["anthropic/claude-2.1", ["openai/gpt-4o"]],
    // The other routes, its own fallbacks, those of what it leads to, each once.
    ["virtual/mix", ["local/y", "local/x", "local/last", "anthropic/claude-2.1"]],
  ])("from %s: %j", (model, others) => {
    expect(othersOf(model)).toEqual(others);
  });

  it("is what the actor may use itself", () => {
    expect(othersOf("openai/gpt-4", ["openai/*", "anthropic/*"])).toEqual(["anthropic/claude-2.1"]);
    expect(othersOf("virtual/mix", ["virtual/mix"])).toEqual(["local/y"]);
  });

  it("leaves it certain where a name leads, and which models there are", () => {
    expect(ruled.decide({ model: "openai/gpt-4", allowed: all })).toMatchObject({ kind: "allowed", certain: true });
    expect(ruled.list(["openai/gpt-4"]).map(({ name }) => name)).not.toContain("local/x");
  });
});
