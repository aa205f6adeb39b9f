import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type Config, ConfigError, formatProblem, loadConfig } from "../../src/config.js";
import { upstreamKinds } from "../../src/gateway-upstreams.js";

type Env = Readonly<Record<string, string>>;

const key = { CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN: "anthropic-key" };
const clock = { now: () => 1_700_000_000_000 };

/** Reads from `files`, and fails as the file system does. */
function reader(files: Env): (path: string) => string {
  return (path) => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error("not there"), { code: "ENOENT" });
    return text;
  };
}

function load(env: Env, files: Env): Config {
  const loaded = loadConfig(env, reader(files), { clock, kinds: upstreamKinds });
  if ("problems" in loaded) throw new ConfigError(loaded.problems);
  return loaded.config;
}

function loadFile(yaml: string, env: Env = {}): Config {
  return load({ ...key, ...env, CODY_GATEWAY_CONFIG: "/etc/gateway.yaml" }, { "/etc/gateway.yaml": yaml });
}

/** Problems of a file beside an environment that is right, without the file's name. */
function fileProblems(yaml: string): string[] {
  const loaded = loadConfig({ ...key, CODY_GATEWAY_CONFIG: "/gw.yaml" }, reader({ "/gw.yaml": yaml }), {
    clock,
    kinds: upstreamKinds,
  });
  return "problems" in loaded ? loaded.problems.map((each) => formatProblem(each).replace("/gw.yaml:", "")) : [];
}

describe("limits of each user", () => {
  const actor = (perUser: string): string => `
actors:
  - id: a
    tokens: [ { ref: "env:T" } ]
    limits: { chat_completions: [ { limit: 10, per: 1h } ], code_completions: [] }
    perUserLimits: { chat_completions: ${perUser} }
`;
  const env = { T: "a-token-of-twenty-letters" };

  it("are read for actors", () => {
    const [first] = loadFile(
      actor("[ { limit: 5, per: 24h, unit: tokens, models: [ openai/* ] }, { percentage: 12.5 }, { inFlight: 2 } ]"),
      env,
    ).staticActors;
    expect(first?.actor.features).toMatchObject({
      chat_completions: {
        limits: [{ amount: 10 }],
        perUser: {
          limits: [{ amount: 5, unit: "tokens", windowMs: 86_400_000, models: ["openai/*"] }],
          percentage: 12.5,
          inFlight: 2,
        },
      },
    });
    expect(first?.actor.features.code_completions).not.toHaveProperty("perUser");
  });

  it("are read for subscriptions, in place of the share that the environment sets", () => {
    const share = { CODY_GATEWAY_ACTOR_USER_LIMIT_PERCENTAGE: "20" };
    const file = "perUserLimits: { chat_completions: [ { percentage: 5% } ], embeddings: [] }";
    expect(loadFile("{}").perUserLimits).toEqual({});
    expect(loadFile(file, share).perUserLimits).toEqual({
      chat_completions: { limits: [], percentage: 5 },
      code_completions: { limits: [], percentage: 20 },
      embeddings: { limits: [] },
    });
  });

  it.each([
    ["[ { percentage: 0 } ]", "above 0"],
    ["[ { percentage: 101% } ]", "up to 100"],
    ["[ { percentage: 5 }, { percentage: 6 } ]", "expected percentage once"],
    ["[ { inFlight: 1 }, { inFlight: 2 } ]", "expected inFlight once"],
    ["[ { limit: 5 } ]", "per"],
    ["[ { percentage: 5, per: 1h } ]", "expected alone, not beside per"],
  ])("of %s are refused", (text, expected) => {
    const problems = fileProblems(actor(text).replace('ref: "env:T"', `sha256: ${"a".repeat(64)}`));
    expect(problems.join()).toContain("actors[0].perUserLimits.chat_completions");
    expect(problems.join()).toContain(expected);
  });
});

describe("configuration file", () => {
  it("reads providers", () => {
    const config = loadFile(
      `
providers:
  - name: anthropic
    kind: anthropic
    keys: [ { ref: "env:KEY_A", weight: 2 }, { ref: "env:KEY_B" } ]
    models: [ "claude-*" ]
    headers: { anthropic-beta: "x" }
    timeouts: { firstByte: 90s }
  - name: local
    kind: openai-compatible
    baseUrl: http://127.0.0.1:8000/v1/
    models: [ "*" ]
    embeddings: { inputsPerCall: 32, tokensPerCall: 8192 }
  - name: vectors
    kind: kserve-embeddings
    baseUrl: http://127.0.0.1:8080/v2/models/mpnet/infer
    models: [ mpnet ]
    embeddings: { models: [ "mpnet-*" ] }
`,
      { KEY_A: "a", KEY_B: "b" },
    );

    expect(config.upstreams).toEqual([
      {
        name: "anthropic",
        kind: "anthropic",
        baseUrl: "https://api.anthropic.com",
        keys: [
          { name: "env:KEY_A", value: "a", weight: 2 },
          { name: "env:KEY_B", value: "b", weight: 1 },
        ],
        models: ["claude-*"],
        embeddings: { models: ["claude-*"] },
        headers: { "anthropic-beta": "x" },
        timeouts: { firstByteMs: 90_000 },
      },
      {
        name: "local",
        kind: "openai-compatible",
        baseUrl: "http://127.0.0.1:8000/v1",
        keys: [],
        models: ["*"],
        embeddings: { models: ["*"], inputsPerCall: 32, tokensPerCall: 8_192 },
        headers: {},
        timeouts: {},
      },
      {
        name: "vectors",
        kind: "kserve-embeddings",
        baseUrl: "http://127.0.0.1:8080/v2/models/mpnet/infer",
        keys: [],
        models: ["mpnet"],
        embeddings: { models: ["mpnet-*"] },
        headers: {},
        timeouts: {},
      },
    ]);
    expect(config.notices).toContain("provider anthropic: taken from the file, its variables have no effect");
  });

  it("reads models", () => {
    const config = loadFile(`
models:
  - id: virtual/starcoder
    routes: [ { model: anthropic/one, weight: 3, languages: [go, c++] }, { model: anthropic/two } ]
  - id: anthropic/latest
    fallbacks: [ { model: anthropic/other } ]
    prices: { inputPerMillion: 3.00, outputPerMillion: 15.00, cacheWritePerMillion: 3.75 }
`);

    expect(config.models).toEqual([
      {
        id: "virtual/starcoder",
        routes: [
          { model: "anthropic/one", weight: 3, languages: ["go", "c++"] },
          { model: "anthropic/two", weight: 1 },
        ],
        fallbacks: [],
        prices: undefined,
      },
      {
        id: "anthropic/latest",
        routes: [],
        fallbacks: ["anthropic/other"],
        prices: {
          inputPerMillion: 3,
          outputPerMillion: 15,
          cachedInputPerMillion: undefined,
          cacheWritePerMillion: 3.75,
        },
      },
    ]);
  });

  it("reads actors, with their tokens as SHA-256", () => {
    const sha256 = createHash("sha256").update("a token of twenty characters").digest("hex");
    const config = loadFile(
      `
actors:
  - id: acme
    name: Acme Inc
    tokens: [ { sha256: ${"AB".repeat(32)} }, { ref: env:ACME_TOKEN } ]
    limits:
      chat_completions: [ { limit: 500, per: 24h }, { limit: 2000000, unit: tokens, per: 30d, models: ["anthropic/*"] }, { inFlight: 20 } ]
      embeddings: []
    models: { chat_completions: ["anthropic/*"] }
`,
      { ACME_TOKEN: "a token of twenty characters" },
    );

    expect(config.staticActors).toEqual([
      {
        actor: {
          id: "acme",
          name: "Acme Inc",
          source: "static",
          accessEnabled: true,
          features: {
            chat_completions: {
              limits: [
                { amount: 500, unit: "requests", windowMs: 86_400_000 },
                { amount: 2_000_000, unit: "tokens", windowMs: 2_592_000_000, models: ["anthropic/*"] },
              ],
              inFlight: 20,
              models: ["anthropic/*"],
            },
            embeddings: { limits: [], models: ["*"] },
          },
          updatedAt: new Date(clock.now()),
        },
        tokenSha256: ["ab".repeat(32), sha256],
      },
    ]);
  });

  it("takes a limit of 0 for no access, but not one for some models", () => {
    const config = loadFile(`
actors:
  - id: a
    tokens: [ { sha256: ${"a".repeat(64)} } ]
    limits:
      chat_completions: [ { limit: 0, per: 24h }, { limit: 5, per: 1h } ]
      code_completions: [ { inFlight: 0 } ]
      embeddings: [ { limit: 0, per: 1h, models: ["openai/*"] }, { limit: 9007199254740991, per: 1h } ]
`);

    expect(Object.keys(config.staticActors[0]?.actor.features ?? {})).toEqual(["embeddings"]);
    expect(config.staticActors[0]?.actor.features.embeddings?.limits.map(({ amount }) => amount)).toEqual([
      0, 9_007_199_254_740_991,
    ]);
  });

  it("puts the file's store policy over the environment's, feature by feature", () => {
    const config = loadFile("quotaStoreFailure: { code_completions: allow:20 }", {
      CODY_GATEWAY_QUOTA_STORE_FAILURE: "allow:5",
    });

    expect(config.quotaStoreFailure).toEqual({
      chat_completions: { allow: 5 },
      code_completions: { allow: 20 },
      embeddings: { allow: 5 },
    });
  });

  it.each(["", "# nothing\n", "{}", "actors: []"])("takes %j for a file that says nothing", (yaml) => {
    expect(loadFile(yaml)).toMatchObject({ staticActors: [], models: [] });
  });

  it("reads JSON", () => {
    const json = JSON.stringify({ quotaStoreFailure: { embeddings: "allow:1" } }, null, "\t");

    expect(loadFile(json).quotaStoreFailure.embeddings).toEqual({ allow: 1 });
  });

  it("finds secrets in files beside the configuration file", () => {
    const config = load(
      { CODY_GATEWAY_CONFIG: "/etc/gw/gateway.yaml" },
      {
        "/etc/gw/gateway.yaml": "providers: [ { name: openai, kind: openai, keys: [ { ref: file:key.txt } ] } ]",
        "/etc/gw/key.txt": "from-file\n",
      },
    );

    expect(config.upstreams[0]?.keys[0]?.value).toBe("from-file");
  });
});

const sha = (digit: string) => `sha256: ${digit.repeat(64)}`;
const provider = `providers:
  - name: local
    kind: openai-compatible
    baseUrl: http://h/v1
    models: ['*']
`;
const model = (rest: string) => `models:\n  - id: anthropic/a\n    ${rest}`;
const actor = (token: string) => `actors:\n  - id: a\n    limits: {}\n    tokens:\n      - ${token}`;
const limits = (rules: string) => `actors:
  - id: a
    tokens: [ { ${sha("a")} } ]
    limits:
      embeddings: ${rules}`;

/** What is wrong, the file, where it is wrong, what is said of it. */
const broken: [string, string, string, string][] = [
  ["no map", "- a", "1", "expected object, received array"],
  ["broken YAML", "a: [1\nb: 2", "2", "expected YAML or JSON"],
  ["a key twice", "actors: []\nactors: []", "2", "expected YAML or JSON: duplicate key"],
  ["an unknown key", "\nprovider: []", "2: provider", "unknown key"],
  ["no name", provider.replace("name: local\n    ", ""), "2: providers[0].name", "expected"],
  ["a name that is no word", provider.replace("local", "My Own"), "2: providers[0].name", "expected lower-case"],
  ["a name that is a path", provider.replace("local", "metrics"), "2: providers[0].name", "expected another name"],
  ["a vendor's name", provider.replace("local", "openai"), "2: providers[0].name", "expected another name"],
  ["an unknown kind", provider.replace("openai-compatible", "toString"), "3: providers[0].kind", "expected one of"],
  ["no key", "providers: [ { name: openai, kind: openai } ]", "1: providers[0].keys", "expected at least one key"],
  ["no base URL", provider.replace("baseUrl: http://h/v1\n    ", ""), "2: providers[0].baseUrl", "expected a URL"],
  ["no models", provider.replace("    models: ['*']\n", ""), "2: providers[0].models", "expected a list"],
  ["an empty list", provider.replace("['*']", "[]"), "5: providers[0].models", "expected at least one pattern"],
  [
    "a name twice",
    provider + provider.replace("providers:\n", ""),
    "6: providers[1].name",
    "expected a value of its own",
  ],
  ["a key itself", `${provider}    keys: [ { ref: sk-123 } ]`, "6: providers[0].keys[0].ref", "expected a reference"],
  [
    "a key nowhere",
    `${provider}    keys: [ { ref: env:NO } ]`,
    "6: providers[0].keys[0].ref",
    "expected the variable NO",
  ],
  ["a missing file", `${provider}    keys: [ { ref: file:/no } ]`, "6: providers[0].keys[0].ref", "expected a file"],
  [
    "a key of words",
    `${provider}    keys: [ { ref: file:/gw.yaml } ]`,
    "6: providers[0].keys[0].ref",
    "expected printable",
  ],
  [
    "no weight",
    `${provider}    keys: [ { ref: env:CODY_GATEWAY_CONFIG, weight: 0 } ]`,
    "6: providers[0].keys[0].weight",
    "exp",
  ],
  [
    "a key as header",
    `${provider}    headers: { X-API-Key: x }`,
    "6: providers[0].headers.X-API-Key",
    "expected another",
  ],
  ["a line end", `${provider}    headers: { x-a: "a\\r\\nb: c" }`, "6: providers[0].headers.x-a", "expected printable"],
  ["an unknown timeout", `${provider}    timeouts: { read: 1s }`, "6: providers[0].timeouts.read", "unknown key"],
  ["a bare number", `${provider}    timeouts: { idle: 5 }`, "6: providers[0].timeouts.idle", "expected a duration"],
  [
    "routes for languages only",
    model("routes: [ { model: anthropic/c, languages: [go] } ]"),
    "3: models[0].routes",
    "expected a route without languages, for all others",
  ],
  [
    "a language that is none",
    model("routes: [ { model: anthropic/c, languages: [] }, { model: anthropic/b } ]"),
    "3: models[0].routes[0].languages",
    "expected at least one language",
  ],
  ["a model as it is", "models:\n  - id: anthropic/a", "2: models[0]", "expected routes, fallbacks or prices"],
  ["a model of nobody", "models: [ { id: a, fallbacks: [] } ]", "1: models[0].id", "expected a gateway model name"],
  [
    "a lost fallback",
    model("fallbacks: [ { model: no/a } ]"),
    "3: models[0].fallbacks[0].model",
    "expected a model of",
  ],
  [
    "a route in a ring",
    model("routes: [ { model: anthropic/a } ]"),
    "3: models[0].routes[0].model",
    "expected a model, not",
  ],
  [
    "a gift",
    model("prices: { inputPerMillion: -1, outputPerMillion: 1 }"),
    "3: models[0].prices.inputPerMillion",
    "exp",
  ],
  [
    "a model twice",
    model("fallbacks: []\n  - id: anthropic/a\n    fallbacks: []"),
    "4: models[1].id",
    "expected a value of",
  ],
  [
    "an actor twice",
    `${actor(sha("a"))}\n  - { id: a, limits: {}, tokens: [ { ${sha("b")} } ] }`,
    "6: actors[1].id",
    "expected",
  ],
  [
    "a token twice",
    `${actor(sha("a"))}\n      - ${sha("A")}`,
    "6: actors[0].tokens[1]",
    "expected a token that is not",
  ],
  ["a token itself", actor("ref: the-token-itself-of-acme"), "5: actors[0].tokens[0].ref", "expected a reference"],
  ["both", actor(`{ ${sha("a")}, ref: env:CODY_GATEWAY_CONFIG }`), "5: actors[0].tokens[0]", "expected either"],
  ["neither", actor("{}"), "5: actors[0].tokens[0]", "expected either sha256 or ref"],
  ["a short token", actor("ref: env:CODY_GATEWAY_CONFIG"), "5: actors[0].tokens[0].ref", "expected a token of 20"],
  ["no digest", actor("sha256: abc"), "5: actors[0].tokens[0].sha256", "expected 64 hex digits"],
  ["no tokens", "actors: [ { id: a, limits: {}, tokens: [] } ]", "1: actors[0].tokens", "expected at least one token"],
  [
    "no limits",
    `actors: [ { id: a, tokens: [ { ${sha("a")} } ] } ]`,
    "1: actors[0].limits",
    "expected object, but it is missing",
  ],
  ["an unknown feature", limits("[]").replace("embeddings", "chat"), "5: actors[0].limits.chat", "unknown key"],
  [
    "less than nothing",
    limits("[ { limit: -1, per: 1h } ]"),
    "5: actors[0].limits.embeddings[0].limit",
    "expected a whole",
  ],
  [
    "half a request",
    limits("[ { limit: 0.5, per: 1h } ]"),
    "5: actors[0].limits.embeddings[0].limit",
    "expected a whole",
  ],
  [
    "2^53 and more",
    limits("[ { limit: 9007199254740993, per: 1h } ]"),
    "5: actors[0].limits.embeddings[0].limit",
    "exp",
  ],
  ["no window", limits("[ { limit: 1 } ]"), "5: actors[0].limits.embeddings[0].per", "expected a duration"],
  [
    "an empty window",
    limits("[ { limit: 1, per: 0s } ]"),
    "5: actors[0].limits.embeddings[0].per",
    "expected a duration",
  ],
  [
    "a lone unit",
    limits("[ { unit: tokens } ]"),
    "5: actors[0].limits.embeddings[0]",
    "expected limit and per, or inFlight",
  ],
  [
    "an unknown unit",
    limits("[ { limit: 1, per: 1h, unit: a } ]"),
    "5: actors[0].limits.embeddings[0].unit",
    "expected one of",
  ],
  [
    "two in one",
    limits("[ { inFlight: 1, per: 1h } ]"),
    "5: actors[0].limits.embeddings[0].inFlight",
    "expected alone",
  ],
  [
    "inFlight twice",
    limits("[ { inFlight: 1 }, { inFlight: 2 } ]"),
    "5: actors[0].limits.embeddings",
    "expected inFlight once",
  ],
  ["a wrong policy", "quotaStoreFailure: { embeddings: never }", "1: quotaStoreFailure.embeddings", "expected deny"],
];

describe("broken configuration file", () => {
  it.each(broken)("is reported with line and place: %s", (_, yaml, where, expected) => {
    const found = fileProblems(yaml);

    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`${where}: ${expected}`);
  });

  it("is reported whole: what is wrong in one entry does not hide the others", () => {
    const found = fileProblems(`${provider}    keys: [ { ref: sk } ]
  - name: local
    kind: openai
actors:
  - id: a
    tokens: [ { ${sha("a")} } ]
    limits: { chat: [], embeddings: [ { limit: -1, per: x }, {} ] }
`);

    expect(found.map((each) => each.split(": ").slice(0, 2).join(" "))).toEqual([
      "6 providers[0].keys[0].ref",
      "7 providers[1].name",
      "7 providers[1].keys",
      "12 actors[0].limits.embeddings[0].limit",
      "12 actors[0].limits.embeddings[0].per",
      "12 actors[0].limits.embeddings[1]",
      "12 actors[0].limits.chat",
    ]);
  });
});
