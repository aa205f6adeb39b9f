// wire.md 1.5 and 1.6 (providers that fail), 1.9 and 12 (attribution), 1.11 (maintenance), 6 (flagging), 11 (embeddings).

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DemoBackEnds, startDemoBackEnds } from "../../../src/demo/back-ends.js";
import { userToken } from "../../../src/demo/dotcom.js";
import { demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { bearer, marker, type Wire, wireTo } from "../../helpers/wire.js";

const ada = "openai/text-embedding-ada-002";
const mpnet = "sourcegraph/st-multi-qa-mpnet-base-dot-v1";
const scope = "cody_gateway::flaggedprompts::read";

let ends: DemoBackEnds;
let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  ends = await startDemoBackEnds();
  ends.portal.set([{ id: demoUuid("customer") }, { id: demoUuid("own key"), enabled: false }]);
  ends.dotcom.set({ id: 42, username: "ada" });
  for (const name of ["a", "b", "c", "d", "e"]) ends.dotcom.publish(`github.com/o/${name}`, "const shared = 1;");
  gw = await testGateway({
    env: ({ url }) => ({
      ...ends.env,
      CODY_GATEWAY_DIAGNOSTICS_SECRET: "secret-of-the-diagnostics",
      CODY_GATEWAY_ENABLE_ATTRIBUTION_SEARCH: "true",
      CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_TOKEN: "key-of-the-embeddings-server",
      CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_URL: `${url}/v2/models/st-multi-qa-mpnet-base-dot-v1/infer`,
      CODY_GATEWAY_ANTHROPIC_BLOCKED_PROMPT_PATTERNS: "Bad Words",
      CODY_GATEWAY_ANTHROPIC_MAX_TOKENS_TO_SAMPLE_FLAGGING_LIMIT: "100",
      CODY_GATEWAY_ANTHROPIC_REQUEST_BLOCKING_ENABLED: "true",
    }),
  });
  wire = wireTo(gw);
  expect((await wire.send("GET /-/actor/sync-all-sources", [bearer("secret-of-the-diagnostics")])).status).toBe(200);
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await ends.close();
});

const customer = bearer(demoToken(demoUuid("customer")));
const chatFeature = "X-Sourcegraph-Feature: chat_completions";
const errorOf = ({ body }: { body: string }): string => (JSON.parse(body) as { error: string }).error;
const chat = (content: string, more: object = {}) => ({
  model: "gpt-4o",
  messages: [{ role: "user", content }],
  ...more,
});

describe("1.5, 1.6 providers that fail", () => {
  it("1.5 every 503 of the gateway has retry-after, and the model it is about", async () => {
    const reply = await wire.send("POST /v1/completions/openai", [customer, chatFeature], chat("[[status=429]]"));
    expect([reply.status, reply.headers["retry-after"], reply.headers["x-cody-resolved-model"]]).toEqual([
      503,
      "30",
      "openai/gpt-4o",
    ]);
  });
});

describe("1.9, 12 attribution", () => {
  const ask = (who: string, body: object | string) => wire.send("POST /v1/attribution", [who], body);

  it("1.9 tells where a snippet stands, in the letters' case that instances know", async () => {
    const { status, headers, body } = await ask(customer, `{"snippet":"const shared","limit":2}`);
    expect([status, headers["content-type"]]).toEqual([200, "application/json"]);
    expect(body).toBe(
      '{"Repositories":[{"name":"github.com/o/a"},{"name":"github.com/o/b"}],"totalCount":5,"limitHit":true}',
    );
    expect((await ask(customer, `{"snippet":"nowhere","limit":2}`)).body).toBe('{"Repositories":null}');
  });

  it("1.9 a limit of 0, or of more than 4, is 4", async () => {
    for (const limit of [0, 5]) {
      const { body } = await ask(customer, { snippet: "const shared", limit });
      expect((JSON.parse(body) as { Repositories: object[] }).Repositories).toHaveLength(4);
    }
  });

  it("1.9 is for subscriptions, those without access to models too, and for nobody else", async () => {
    expect((await ask(bearer(demoToken(demoUuid("own key"))), { snippet: "x", limit: 1 })).status).toBe(200);
    for (const who of [bearer(), bearer(userToken(42))]) {
      const reply = await ask(who, { snippet: "x", limit: 1 });
      expect([reply.status, errorOf(reply)]).toEqual([401, "only available for enterprise product subscriptions"]);
    }
  });

  it("15.2 an unknown licence token never gets it", async () => {
    for (let time = 0; time < 3; time++)
      expect((await ask(bearer(`slk_${"9".repeat(64)}`), { snippet: "x", limit: 1 })).status).toBe(401);
  });

  it("1.9 bad JSON is 400, a search that fails is 502 without its words", async () => {
    expect((await ask(customer, "{")).status).toBe(400);
    ends.dotcom.fail({ kind: "status", status: 500 });
    try {
      const reply = await ask(customer, { snippet: "const shared", limit: 1 });
      expect(reply.status).toBe(502);
      expect(errorOf(reply)).toMatch(/^fetching SnippetAttribution from sourcegraph\.com/);
    } finally {
      ends.dotcom.heal();
    }
  });
});

describe("6 flagging", () => {
  it("6 what is blocked gets the sentence that clients show, with the trace's id", async () => {
    const own = "traceparent: 00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const reply = await wire.send("POST /v1/completions/openai", [customer, chatFeature, own], chat("some bad WORDS"));
    expect(reply.status).toBe(400);
    expect(errorOf(reply)).toBe(
      "We blocked your request because we detected your prompt to be against our Acceptable Use Policy " +
        "(https://sourcegraph.com/terms/aup). Try again by removing any phrases that may violate our AUP. If you think " +
        "this is a mistake, please contact support@sourcegraph.com and reference this ID: 5bf92f3577b34da6a3ce929d0e0e4736",
    );
    const event = await gw.event(({ reason }) => reason === "PROMPT_BLOCKED");
    expect(event).toMatchObject({ outcome: "refused", charged: false, trace_id: "5bf92f3577b34da6a3ce929d0e0e4736" });
  });

  it("6 what is only flagged goes on, and its event says why", async () => {
    const uid = marker();
    const body = chat("hello", { max_tokens: 200 });
    const who = [customer, chatFeature, `X-Sourcegraph-Actor-UID: ${uid}`];
    expect((await wire.send("POST /v1/completions/openai", who, body)).status).toBe(200);
    const event = await gw.event(({ endUser }) => endUser?.id === uid);
    expect(JSON.stringify(event)).toContain("high_max_tokens_to_sample");
  });
});

describe("1.11 maintenance", () => {
  const list = "/maintenance/flagged-requests";
  const read = (path: string, ...headers: string[]) => wire.send(`GET ${path}`, headers);

  it("1.11 lists what is kept for who has the scope", async () => {
    const reply = await read(list, bearer(ends.sams.issue({ scopes: [scope] })));
    expect([reply.status, reply.headers["content-type"]]).toEqual([200, "application/json"]);
    expect(JSON.parse(reply.body)).toHaveProperty("prompts");
  });

  it("1.11 refuses in plain words", async () => {
    const other = bearer(ends.sams.issue({ scopes: [`${scope}s`] }));
    const good = bearer(ends.sams.issue({ scopes: [scope] }));
    const told = async (path: string, ...headers: string[]) => {
      const { status, body } = await read(path, ...headers);
      return [status, body.trim()];
    };
    expect(await told(list)).toEqual([401, "Unauthorized"]);
    expect(await told(list, "Authorization: Basic eA==")).toEqual([401, "Unauthorized"]);
    expect(await told(list, bearer("nothing of SAMS"))).toEqual([401, "Unauthorized: Inactive token"]);
    expect(await told(list, other)).toEqual([403, "Forbidden: Missing required scope"]);
    expect(await told(`${list}/else:1`, good)).toEqual([400, "Invalid prompt key"]);
    expect(await told(`${list}/prompt:1:chat_completions:acme`, good)).toEqual([404, "Prompt not found"]);
    expect((await read("/maintenance/else")).status).toBe(404);
  });
});

describe("11 embeddings", () => {
  const embed = (body: object | string, ...headers: string[]) =>
    wire.send("POST /v1/embeddings", [customer, "Content-Type: application/json", ...headers], body);

  it("11, 14.2 an instance embeds without a feature, with its batch size and with isQuery", async () => {
    const body = { model: ada, input: ["one", "two"], isQuery: false };
    const { status, headers, body: text } = await embed(body, "X-Cody-Embed-Batch-Size: 2");
    expect([status, headers["content-type"]]).toEqual([200, "application/json; charset=utf-8"]);
    expect(Number(headers["x-token-usage"])).toBeGreaterThan(0);
    const answer = JSON.parse(text) as { embeddings: { index: number; data: number[] }[]; dimensions: number };
    expect(answer.dimensions).toBe(1536);
    expect(answer.embeddings.map(({ index, data }) => [index, data.length])).toEqual([
      [0, 1536],
      [1, 1536],
    ]);
  });

  it("11, 15.21 Sourcegraph's own model serves 768 dimensions, and is not free", async () => {
    const { headers, body } = await embed({ model: mpnet, input: ["hello there"] });
    expect(JSON.parse(body)).toMatchObject({ dimensions: 768 });
    expect(Number(headers["x-token-usage"])).toBeGreaterThan(0);
  });

  it.each([
    ["no JSON", "{", /^failed to parse request body/],
    ["a model that is not allowed", { model: "openai/other", input: ["x"] }, /^model "openai\/other" is not allowed$/],
    ["an empty text", { model: ada, input: [""] }, /^cannot generate embeddings for an empty string$/],
  ])("11 %s is 400", async (_name, body, error) => {
    const reply = await embed(body);
    expect([reply.status, errorOf(reply)]).toEqual([400, expect.stringMatching(error)]);
  });

  it("11 a provider that is busy is told of with 503, in a minute again", async () => {
    const reply = await embed({ model: ada, input: ["[[status=429]]"] });
    expect([reply.status, reply.headers["retry-after"], errorOf(reply)]).toEqual([
      503,
      "60",
      "we're facing too much load at the moment, please retry later",
    ]);
  });

  it("11 /v1/embeddings/models tells which the actor may use", async () => {
    const { status, body } = await wire.send("GET /v1/embeddings/models", [customer]);
    expect(status).toBe(200);
    const models = JSON.parse(body) as { name: string; dimensions: number; enabled: boolean; deprecated: boolean }[];
    expect(models).toContainEqual({ name: ada, dimensions: 1536, enabled: true, deprecated: false });
    expect(models).toContainEqual({ name: mpnet, dimensions: 768, enabled: true, deprecated: false });
  });
});
