// Runs what README.md tells its readers to run, in a fresh checkout.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { transform } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../helpers/free-port.js";
import { testUpstream } from "../helpers/upstream.js";
import { type Checkout, createCheckout, type Ended, type Running } from "./checkout.js";
import { type Block, blocksOf, readText } from "./markdown.js";

const readme = readText("README.md");
const blocks = blocksOf(readme);
const packageJson = JSON.parse(readText("package.json")) as { scripts: Record<string, string> };

/** Where the README says that the demo is. */
const demoUrl = "http://127.0.0.1:9992";

const seen = new Set<Block>();

/** The one block of a language that has all of these texts. */
function block(language: string, ...texts: readonly string[]): string {
  const found = blocks.filter((each) => each.language === language && texts.every((text) => each.text.includes(text)));
  if (found.length !== 1) throw new Error(`${found.length} blocks of ${language} with ${texts.join(", ")}`);
  const [only] = found as [Block];
  seen.add(only);
  return only.text;
}

let checkout: Checkout;
let upstream: Awaited<ReturnType<typeof testUpstream>>;
let once: Ended;
let demo: Running;
/** What the demo wrote. */
let told: string;
let url: string;

beforeAll(async () => {
  checkout = createCheckout();
  upstream = await testUpstream();
  // What is to be installed and built is there; the demo ends after its first completion.
  const script = block("sh", "npm run demo").replace("npm install", "true").replace("demo", "demo -- --once");
  once = await checkout.run(script, { PORT: String(await freePort()) });
  if (once.code !== 0) throw new Error(`the demo does not start:\n${once.stdout}${once.stderr}`);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  demo = checkout.start("exec node dist/bin/cody-gateway.js demo", { PORT: String(port) });
  told = await demo.wrote("Ctrl-C ends the demo.");
});

afterAll(async () => {
  demo?.signal("SIGTERM");
  await demo?.ended;
  await upstream?.[Symbol.asyncDispose]();
  checkout?.remove();
});

/** Runs a block against the demo. */
function againstDemo(script: string): Promise<Ended> {
  return checkout.run(script.replaceAll(demoUrl, url));
}

/** Without its types, which are looked at by themselves. */
async function runExample(file: string, code: string): Promise<Ended> {
  const own = code.replaceAll(demoUrl, url);
  checkout.write(file, own);
  checkout.write(`${file}.mjs`, (await transform(own, { loader: "ts", target: "node20" })).code);
  return checkout.run(`node ${file}.mjs`);
}

describe("README.md", () => {
  it("has a demo that builds, starts and streams a first completion", () => {
    for (const name of ["demo", "start", "test"])
      expect(packageJson.scripts[name]).toMatch(/^npm run --silent build && /);
    expect(once.stdout).toMatch(/listens on http:.*\n/);
    expect(once.stdout).toMatch(/charged to the limit chat_completions: 499 of 500 left/);
    expect(once.stdout).toMatch(/event: completed  acme /);
  });

  it("has a demo that syncs an Enterprise Portal and serves one of its subscriptions", () => {
    expect(once.stdout).toMatch(/dotcom-product-subscriptions +succeeded +400 /);
    expect(once.stdout).toMatch(/Customer 7 asks .*\n[^]*499 of 500 left[^]*event: completed  [0-9a-f-]{36} /);
  });

  it("has a demo that prints calls which do what they are headed with", async () => {
    const printed = (title: string): string =>
      new RegExp(`^# ${title}\\n([^]*?)\\n\\n`, "m").exec(told)?.[1] ?? "exit 1";
    const [embedded, found] = await Promise.all(
      ["embeddings", "where code stands in public"].map((title) => checkout.run(printed(title))),
    );

    expect((JSON.parse(embedded?.stdout ?? "") as { data: unknown[] }).data).toHaveLength(2);
    expect(JSON.parse(found?.stdout ?? "")).toEqual({
      Repositories: [{ name: "github.com/demo/sorting" }],
      totalCount: 1,
    });
  });

  it("names the script of the tests that are running", () => {
    expect(block("sh", "npm test")).toBe("npm install && npm test\n");
    expect(packageJson.scripts["test"]).toContain("vitest run");
  });

  it("streams with curl", async () => {
    const { code, stdout } = await againstDemo(block("sh", "curl -N"));

    expect(code).toBe(0);
    expect(stdout.match(/^data: \{.*"delta":\{.*"content":/gm)?.length).toBeGreaterThan(1);
    expect(stdout.trimEnd()).toMatch(/data: \[DONE\]$/);
  });

  it("is served to Anthropic's SDK", async () => {
    const { code, stdout, stderr } = await runExample("readme-sdk.ts", block("ts", "@anthropic-ai/sdk"));

    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stdout).toMatch(/type: 'text'/);
  });

  it("is served to the typed client", async () => {
    const { code, stdout, stderr } = await runExample("readme-client.ts", block("ts", "cody-gateway/client"));

    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stdout).toMatch(/\w+[^]*\n\d+ requests left\n3 features\n$/);
  });

  it("has examples whose types are right", async () => {
    const { code, stdout } = await checkout.run(
      "node_modules/.bin/tsc --ignoreConfig --noEmit --strict --target ES2023 --module NodeNext --skipLibCheck --types node readme-sdk.ts readme-client.ts",
    );

    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  });

  it("answers the typed API as JSON and over gRPC", async () => {
    const { code, stdout, stderr } = await againstDemo(block("sh", "npx buf curl"));

    expect({ code, stderr }).toMatchObject({ code: 0 });
    // Two answers, one behind the other.
    const [completion, limits] = stdout
      .split(/(?<=\})\s*(?=\{\s*"features")/)
      .map((text) => JSON.parse(text) as object);
    expect(completion).toMatchObject({
      model: "anthropic/claude-sonnet-4-5",
      message: { role: "ROLE_ASSISTANT" },
      rateLimit: { limit: "500" },
    });
    const { features } = limits as { features: { rateLimit: { limit: string } }[] };
    expect(features.map(({ rateLimit }) => rateLimit.limit)).toEqual(["500", "10000", "10000000"]);
  });

  it("tells what is left, and refuses the fourth request of three", async () => {
    const { code, stdout } = await againstDemo(block("sh", "/v1/limits", "for i in 1 2 3 4"));
    const [, limits = "", statuses] = /^(\{.*\})([\d ]+)$/s.exec(stdout) ?? [];

    expect(code).toBe(0);
    expect(JSON.parse(limits)).toMatchObject({ chat_completions: { limit: 500, interval: "24h0m0s" } });
    expect(statuses).toBe("200 200 200 429 ");
  });

  it("explains that refusal, lets through who was refused, and syncs", async () => {
    const { code, stdout, stderr } = await againstDemo(block("sh", "admin explain"));
    const [refused = "", rest = ""] = stdout.split(/^actor /m);
    const [allowed = "", synced = ""] = rest.split(/^source /m);

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(refused).toMatch(/^refused: .*\(QUOTA_EXCEEDED\)$/m);
    expect(refused).toMatch(/^no +limit +3 of 3 requests /m);
    expect(allowed).toMatch(/^allowed$/m);
    expect(synced).toMatch(/dotcom-product-subscriptions +succeeded +400 /);
  });

  it("starts with a real provider, shows its configuration, and ends on SIGTERM", async () => {
    const port = String(await freePort());
    checkout.write("gateway.yaml", block("yaml", "providers:"));
    const set = {
      PORT: port,
      CODY_GATEWAY_HOST: "127.0.0.1",
      CODY_GATEWAY_DRAIN_DELAY: "0s",
      CODY_GATEWAY_ANTHROPIC_BASE_URL: upstream.url,
    };
    const start = block("sh", "npm start").replace("sk-ant-…", "sk-ant-key");
    const gateway = checkout.start(start, set);
    try {
      await gateway.wrote('"msg":"listening"');
      expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);

      const [, key = "", file = ""] = /^ANTHROPIC_API_KEY=(\S+) CODY_GATEWAY_CONFIG=(\S+) /.exec(start) ?? [];
      const script = block("sh", "config check", "config show", "token license");
      const { code, stdout } = await checkout.run(script, {
        ...set,
        ANTHROPIC_API_KEY: key,
        CODY_GATEWAY_CONFIG: file,
      });
      expect(code).toBe(0);
      expect(stdout).toContain("configuration is right: 2 providers, 1 actor");
      expect(stdout).toMatch(/CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN +ANTHROPIC_API_KEY +\*{8}\n/);
      expect(stdout).not.toContain(key);
      expect(stdout).toMatch(/^slk_[0-9a-f]{64}\n$/m);
    } finally {
      gateway.signal("SIGTERM");
    }
    expect((await gateway.ended).stderr).toContain('"msg":"stopped"');
  });

  it("says what is in src, and which scripts there are", () => {
    const tree = block("", "relay.ts");
    for (const name of tree.split("\n").flatMap((line) => line.split("  ")[0]?.split(" ") ?? []))
      if (name !== "") expect(existsSync(resolve(import.meta.dirname, "../../src", name)), name).toBe(true);

    const scripts = [...block("sh", "npm run check").matchAll(/npm run (\S+)/g)].map(([, name]) => name);
    expect(scripts).toEqual(["check", "bench", "test:soak", "test:delays"]);
    expect(Object.keys(packageJson.scripts)).toEqual(expect.arrayContaining(scripts));
  });

  it("has no block that is not run here, and no link to a file that is not there", () => {
    expect(blocks.filter((each) => !seen.has(each))).toEqual([]);
    for (const [, target = ""] of readme.matchAll(/\]\(([^)#]+)[^)]*\)/g))
      if (!target.startsWith("https://"))
        expect(existsSync(resolve(import.meta.dirname, "../..", target)), target).toBe(true);
  });
});
