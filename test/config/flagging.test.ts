import { describe, expect, it } from "vitest";
import { type Config, formatProblem, loadConfig } from "../../src/config.js";

const base = { ANTHROPIC_API_KEY: "a", OPENAI_API_KEY: "o", CODY_GATEWAY_CONFIG: "gateway.yaml" };

function load(env: Readonly<Record<string, string>>, yaml = ""): Config["flagging"] {
  const loaded = loadConfig({ ...base, ...env }, () => yaml);
  if ("problems" in loaded) throw new Error(loaded.problems.map(formatProblem).join("\n"));
  return loaded.config.flagging;
}

function problemsOf(env: Readonly<Record<string, string>>, yaml = ""): readonly string[] {
  const loaded = loadConfig({ ...base, ...env }, () => yaml);
  return "problems" in loaded ? loaded.problems.map(formatProblem) : [];
}

const anthropic = "CODY_GATEWAY_ANTHROPIC_";

describe("checks of prompts", () => {
  it("are off unless something is set", () => {
    expect(load({}).policy).toEqual({ common: undefined, upstreams: new Map() });
    expect(load({ [`${anthropic}MAX_TOKENS_TO_SAMPLE`]: "9" }).policy.common).toBeUndefined();
  });

  it("take the defaults of the existing gateway once one of its variables is set", () => {
    expect(load({ [`${anthropic}REQUEST_BLOCKING_ENABLED`]: "true" }).policy.common).toEqual({
      promptTokens: { flag: 18_000, block: 20_000 },
      outputTokens: { flag: 4_000, block: 4_000 },
      models: { flag: [], block: [] },
      allowed: [],
      blocked: [],
      blocking: true,
    });
  });

  it("take all its variables", () => {
    const env = {
      MAX_TOKENS_TO_SAMPLE_FLAGGING_LIMIT: "1",
      RESPONSE_TOKEN_BLOCKING_LIMIT: "2",
      PROMPT_TOKEN_FLAGGING_LIMIT: "3",
      PROMPT_TOKEN_BLOCKING_LIMIT: "4",
      ALLOWED_PROMPT_PATTERNS: "You are Cody, please",
      BLOCKED_PROMPT_PATTERNS: "bad words",
      FLAGGED_MODEL_NAMES: "claude-1,claude-2*",
    };
    const named = Object.entries(env).map(([name, value]) => [anthropic + name, value]);

    expect(load(Object.fromEntries(named) as Record<string, string>).policy.common).toEqual({
      promptTokens: { flag: 3, block: 4 },
      outputTokens: { flag: 1, block: 2 },
      models: { flag: ["claude-1", "claude-2*"], block: [] },
      allowed: [{ phrase: "You are Cody" }, { phrase: "please" }],
      blocked: [{ phrase: "bad words" }],
      blocking: false,
    });
  });

  it("are set by provider in the file, which goes before the variables", () => {
    const yaml = `
flagging:
  "*": { blocked: [ bad, { regexp: 'b[a4]d' } ], blocking: true }
  openai: { promptTokens: { block: 9 }, models: { block: [ "gpt-4*" ] } }
  anthropic: {}`;
    const { common, upstreams } = load({ [`${anthropic}BLOCKED_PROMPT_PATTERNS`]: "x" }, yaml).policy;

    expect(common).toMatchObject({ blocked: [{ phrase: "bad" }, { regexp: "b[a4]d" }], blocking: true });
    expect(common?.promptTokens).toEqual({ flag: undefined, block: undefined });
    expect([...upstreams.keys()]).toEqual(["openai", "anthropic"]);
    expect(upstreams.get("openai")).toMatchObject({
      promptTokens: { flag: undefined, block: 9 },
      models: { flag: [], block: ["gpt-4*"] },
      blocking: false,
    });
  });

  it.each([
    ["flagging: { mistral: {} }", "flagging.mistral: expected the name of a configured provider, or * for all others"],
    ["flagging: { openai: { promptTokens: { block: 0 } } }", "flagging.openai.promptTokens.block: expected"],
    [
      "flagging: { openai: { promptToken: 7 } }",
      "flagging.openai.promptToken: unknown key, expected one of promptTokens",
    ],
    [
      "flagging: { openai: { blocked: [ { regexp: '(a' } ] } }",
      "expected a regular expression in RE2's syntax: missing closing )",
    ],
    ["flagging: { openai: { blocked: [ { regexp: '(?=a)' } ] } }", "expected a regular expression in RE2's syntax"],
    ["flagging: { openai: { blocked: [ '  ' ] } }", "expected a phrase"],
    ["flagging: { openai: { blocked: bad } }", "flagging.openai.blocked: expected array"],
    ["flagging: { openai: { blocking: 1 } }", "flagging.openai.blocking: expected true or false"],
  ])("refuse %s", (yaml, expected) => {
    const problems = problemsOf({}, yaml);

    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^gateway\.yaml:1: /);
    expect(problems[0]).toContain(expected);
  });

  it.each([
    ["PROMPT_TOKEN_FLAGGING_LIMIT", "0", "expected a whole number from 1"],
    ["REQUEST_BLOCKING_ENABLED", "yes", "expected true or false"],
    ["BLOCKED_PROMPT_PATTERNS", ",", "expected a comma-separated list"],
  ])("refuse %s=%s", (name, value, expected) => {
    expect(problemsOf({ [anthropic + name]: value }).join()).toContain(expected);
  });
});

describe("what is kept of flagged prompts", () => {
  it("is nothing without a key", () => {
    expect(load({}).kept).toEqual({ ttlMs: 3_600_000, keys: [], sources: ["dotcom-user"], most: 1_000 });
  });

  it("is encrypted with the first of the keys", () => {
    const [one, two] = ["ab".repeat(32), "CD".repeat(32)];
    const { kept } = load({
      CODY_GATEWAY_FLAGGED_PROMPTS_KEYS: `new:${one}, old:${two}`,
      CODY_GATEWAY_DOTCOM_FLAGGED_PROMPT_RECORDER_TTL: "24h0m0s",
      CODY_GATEWAY_FLAGGED_PROMPTS_SOURCES: "static,dotcom-user",
    });

    expect(kept.keys.map(({ name, key }) => [name, key.toString("hex")])).toEqual([
      ["new", one],
      ["old", two.toLowerCase()],
    ]);
    expect(kept).toMatchObject({ ttlMs: 86_400_000, sources: ["static", "dotcom-user"] });
  });

  it.each(["short:abcd", "ab".repeat(32), `a:${"ab".repeat(32)},a:${"cd".repeat(32)}`])(
    "refuses the keys %s",
    (keys) => {
      const [problem, ...others] = problemsOf({ CODY_GATEWAY_FLAGGED_PROMPTS_KEYS: keys });

      expect(others).toEqual([]);
      expect(problem).toBe(
        "CODY_GATEWAY_FLAGGED_PROMPTS_KEYS: expected name:key, comma separated, each name once; a key is 64 hex digits: openssl rand -hex 32 makes one",
      );
    },
  );
});
