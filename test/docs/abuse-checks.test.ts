// What docs/abuse-checks.md says, held against the code.

import { describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config.js";
import { flagReasons } from "../../src/guard/verdict.js";
import { blocksOf, readText, tableBelow } from "./markdown.js";

const text = readText("docs/abuse-checks.md");

describe("docs/abuse-checks.md", () => {
  it("shows a section that is right", () => {
    const [yaml] = blocksOf(text).filter(({ language }) => language === "yaml");
    const local = "providers: [ { name: local, kind: openai-compatible, baseUrl: http://h, models: ['*'] } ]\n";
    const env = { OPENAI_API_KEY: "key", CODY_GATEWAY_CONFIG: "gateway.yaml" };

    expect(loadConfig(env, () => local + (yaml?.text ?? ""))).toMatchObject({
      config: { flagging: { policy: { common: { promptTokens: { flag: 18_000, block: 20_000 }, blocking: true } } } },
    });
  });

  it("lists every reason", () => {
    expect(tableBelow(text, "## What is checked").map(([reason]) => reason)).toEqual(flagReasons);
  });
});
