// Every command of docs/administration.md, docs/abuse-checks.md and docs/alerts.md, run against a gateway.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../src/cli/run.js";
import { fakeIo } from "../cli/fake-io.js";
import { adminTokens, operatorToken } from "../helpers/admin.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";
import { type WebhookListener, webhookListener } from "../helpers/webhook.js";
import { blocksOf, readText } from "./markdown.js";

const commands = ["docs/administration.md", "docs/abuse-checks.md", "docs/alerts.md"]
  .flatMap((file) => blocksOf(readText(file)))
  .filter(({ language }) => language === "sh")
  .flatMap(({ text }) => text.trim().split("\n"));

let gateway: TestGateway;
let listener: WebhookListener;
beforeAll(async () => {
  listener = await webhookListener();
  gateway = await testGateway({
    env: { CODY_GATEWAY_ADMIN_TOKENS: adminTokens },
    actor: { limits: { chat_completions: [{ limit: 9, per: "1h" }] } },
    file: { notifications: [{ webhook: listener.url }] },
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await listener[Symbol.asyncDispose]();
});

/** The words of a shell line; quotes are single. */
function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

describe("docs/administration.md", () => {
  it("has commands", () => {
    expect(commands.length).toBeGreaterThan(12);
  });

  it.each(commands)("%s", async (line) => {
    const [node, main, ...argv] = words(line);
    expect([node, main]).toEqual(["node", "dist/bin/cody-gateway.js"]);
    const { io, written } = fakeIo({ CODY_GATEWAY_URL: gateway.url, CODY_GATEWAY_ADMIN_TOKEN: operatorToken });

    expect({ code: await run(argv, io), complaint: written.stderr.includes("error:") }).toEqual({
      code: 0,
      complaint: false,
    });
    expect(written.stdout).not.toBe("");
  });
});
