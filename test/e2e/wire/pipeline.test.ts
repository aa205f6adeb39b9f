// wire.md 1.3: the common pipeline of the completions endpoints, step by step.

import { once } from "node:events";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { head, rawConnect } from "../../helpers/raw-http.js";
import { bearer, marker, type Wire, wireTo } from "../../helpers/wire.js";

let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  gw = await testGateway({
    actors: [
      {
        id: "few",
        tokens: [{ ref: "env:FEW_TOKEN" }],
        limits: { chat_completions: [{ limit: 3, per: "24h" }] },
        models: { chat_completions: ["gpt-4o", "openai/gpt-4-turbo"] },
      },
      {
        id: "prefixed",
        tokens: [{ ref: "env:PREFIXED_TOKEN" }],
        limits: { chat_completions: [] },
        models: { chat_completions: ["openai/gpt-4-turbo"] },
      },
    ],
    env: { FEW_TOKEN: few, PREFIXED_TOKEN: prefixed },
  });
  wire = wireTo(gw);
});
afterAll(() => gw[Symbol.asyncDispose]());

const few = "token-of-the-actor-with-few";
const prefixed = "token-of-the-actor-with-prefixes";
const path = "/v1/completions/openai";
const chat = (content: string, more: object = {}) => ({
  model: "gpt-4o",
  messages: [{ role: "user", content }],
  ...more,
});
const errorOf = ({ body }: { body: string }): string => (JSON.parse(body) as { error: string }).error;

describe.concurrent("1.3 the pipeline", () => {
  it("1.3.1 authentication comes first", async ({ expect }) => {
    const reply = await wire.send(`POST ${path}`, ["Authorization: Bearer slk_unknown"], "{");
    expect(reply.status).toBe(401);
  });

  it.for([
    [undefined, "X-Sourcegraph-Feature header is required"],
    ["", "X-Sourcegraph-Feature header is required"],
    ["   ", "X-Sourcegraph-Feature header is required"],
    ["embeddings", "invalid value for X-Sourcegraph-Feature"],
    ["Chat_Completions", "invalid value for X-Sourcegraph-Feature"],
  ] as const)("1.3.2 the feature %s is refused before the body is read", async ([feature, error], { expect }) => {
    const headers = feature === undefined ? [] : [`X-Sourcegraph-Feature: ${feature}`];
    const reply = await wire.send(`POST ${path}`, [bearer(), ...headers], "{");
    expect([reply.status, errorOf(reply)]).toEqual([400, error]);
  });

  it("1.3.2 the feature's value is trimmed", async ({ expect }) => {
    const reply = await wire.ask(path, chat("hi"), ["X-Sourcegraph-Feature:   chat_completions  "]);
    expect(reply.status).toBe(200);
  });

  it("1.3.3 a feature that the actor has not is 403", async ({ expect }) => {
    const reply = await wire.send(
      "POST /v1/completions/fireworks",
      [bearer(few), "X-Sourcegraph-Feature: code_completions"],
      { model: "starcoder", prompt: "x" },
    );
    expect([reply.status, errorOf(reply)]).toEqual([403, "no access to feature code_completions"]);
  });

  it("1.3.4 X-Timeout-Ms bounds the exchange, and what cannot be read is passed over", async ({ expect }) => {
    const slow = chat("[[delay=30000]]");
    const reply = await wire.ask(path, slow, ["X-Timeout-Ms: 150"]);
    expect([reply.status, errorOf(reply)]).toEqual([504, "request to upstream provider openai timed out"]);
    for (const value of ["soon", "-5", "1.5", ""])
      expect((await wire.ask(path, chat("hi"), [`X-Timeout-Ms: ${value}`])).status).toBe(200);
  });

  it("1.3.4 X-Timeout-Ms covers the stream, which then is no whole one", async ({ expect }) => {
    const connection = await rawConnect(gw.gateway.port);
    const body = JSON.stringify(chat("[[stall after=1]]", { stream: true }));
    const length = `Content-Length: ${body.length}`;
    const headers = [bearer(), "X-Sourcegraph-Feature: chat_completions", "X-Timeout-Ms: 500", length];
    connection.send(head(`POST ${path} HTTP/1.1`, [...headers, "Connection: close"], body));
    await connection.ended;
    const { received } = connection;
    connection.destroy();
    // On a busy machine the time is over before the stream begins.
    if (received.startsWith("HTTP/1.1 504")) return;
    expect(received).toMatch(/^HTTP\/1\.1 200/);
    expect(received).toContain("event: error");
    // Neither the provider's end nor HTTP's.
    expect(received).not.toMatch(/\[DONE\]|\r\n0\r\n/);
  });

  it("1.3.6 models of the actor without a provider are those of any", async ({ expect }) => {
    for (const model of ["gpt-4o", "gpt-4-turbo"]) {
      const headers = [bearer(few), "X-Sourcegraph-Feature: chat_completions"];
      expect((await wire.send(`POST ${path}`, headers, { ...chat("hi"), model })).status).toBe(200);
    }
  });

  it.for(["", "[]", "null", "1", '{"model":"gpt-4o",', "<html>"])("1.3.7 %s is no body", async (body, { expect }) => {
    const reply = await wire.ask(path, body);
    expect(reply.status).toBe(400);
    expect(errorOf(reply)).toMatch(/^failed to parse request body: /);
  });

  it("1.3.7 unknown fields and explicit zeros reach the upstream", async ({ expect }) => {
    const text = marker();
    await wire.ask(path, chat(text, { temperature: 0, unheard_of: [1.0], seed: 0 }));
    expect(wire.seen(text)?.json).toMatchObject({ temperature: 0, unheard_of: [1], seed: 0 });
  });

  it("1.3.12 no header of the caller reaches the upstream, and it gets the gateway's own", async ({ expect }) => {
    const text = marker();
    const own = ["Client: sourcegraph/1.0", "X-API-Key: ", "X-Forwarded-For: 10.0.0.1", "Cookie: a=b", "X-Secret: s"];
    await wire.ask(path, chat(text), [...own, "X-Fireworks-Genie: true"]);
    const { headers = {}, key } = wire.seen(text) ?? {};
    expect(key).toBe("upstream-key-openai");
    expect(headers["user-agent"]).toMatch(/^Cody-Gateway\//);
    for (const name of ["client", "x-api-key", "x-forwarded-for", "cookie", "x-secret", "x-fireworks-genie"])
      expect(headers).not.toHaveProperty(name);
  });

  it("1.3.13 a model that is not allowed is named, with those that are", async ({ expect }) => {
    const reply = await wire.send(`POST ${path}`, [bearer(prefixed), "X-Sourcegraph-Feature: chat_completions"], {
      ...chat("hi"),
      model: "gpt-4o",
    });
    expect(reply.status).toBe(400);
    expect(errorOf(reply)).toMatch(/^model "openai\/gpt-4o" is not allowed, allowed: \[openai\/gpt-4-turbo\]$/);
    expect(reply.headers).not.toHaveProperty("x-cody-resolved-model");
  });

  it("1.3.14 the resolved model is told, on errors too", async ({ expect }) => {
    const replies = await Promise.all(
      ["hi", "[[status=500]]", "[[status=429]]", "[[status=400]]"].map((content) => wire.ask(path, chat(content))),
    );
    expect(replies.map(({ status }) => status)).toEqual([200, 500, 503, 400]);
    for (const { headers } of replies) expect(headers["x-cody-resolved-model"]).toBe("openai/gpt-4o");
  });

  it("1.3.16 a caller that leaves ends the upstream's request", async ({ expect }) => {
    const text = marker();
    const connection = await rawConnect(gw.gateway.port);
    const body = JSON.stringify(chat(`${text} [[delay=30000]]`));
    const headers = [bearer(), "X-Sourcegraph-Feature: chat_completions", `Content-Length: ${body.length}`];
    const arrived = gw.upstream.waitFor(({ body: seen }) => seen.toString().includes(text));
    connection.send(head(`POST ${path} HTTP/1.1`, headers, body));
    const call = await arrived;
    connection.destroy();
    await call.aborted;
    expect(call.state).toBe("aborted");
  });

  it("1.3.17 content type and body of the upstream pass unchanged, hop-by-hop headers do not", async ({ expect }) => {
    const reply = await wire.ask(path, chat("hi"));
    expect(reply.headers["content-type"]).toMatch(/^application\/json/);
    for (const name of ["proxy-authenticate", "proxy-connection", "te", "trailer", "upgrade"])
      expect(reply.headers).not.toHaveProperty(name);
  });

  it.for([
    ["[[status=429 retry-after=7]]", 503, "7"],
    ["[[status=429]]", 503, "30"],
    ["[[status=503]]", 503, "30"],
    ["[[status=503 retry-after=1]]", 503, "1"],
    ["[[status=500]]", 500, undefined],
    ["[[status=400]]", 400, undefined],
    ["[[status=404]]", 404, undefined],
    ["[[status=413]]", 413, undefined],
  ] as const)(
    "1.3.18 the upstream's answer to %s is told as %i, to come again in %s s",
    async ([content, status, wait], { expect }) => {
      const reply = await wire.ask(path, chat(content));
      expect([reply.status, reply.headers["retry-after"]]).toEqual([status, wait]);
      expect(reply.body).toMatch(/error/);
    },
  );

  it("1.3.19 a stream passes piece by piece, without being asked to", async ({ expect }) => {
    const text = marker();
    const connection = await rawConnect(gw.gateway.port);
    const body = JSON.stringify(chat(`${text} [[hold]]`, { stream: true }));
    const headers = [bearer(), "X-Sourcegraph-Feature: chat_completions", `Content-Length: ${body.length}`];
    const arrived = gw.upstream.waitFor(({ body: seen }) => seen.toString().includes(text));
    connection.send(head(`POST ${path} HTTP/1.1`, headers, body));
    const call = await arrived;
    await call.begin();
    await call.say("first words");
    while (!connection.received.includes("first words")) await once(connection.socket, "data");
    expect(connection.received).not.toContain("[DONE]");
    await call.finish();
    expect((await connection.reply())?.body).toContain("data: [DONE]");
    connection.destroy();
  });

  it("1.3.21 there is an event for failures, too", async ({ expect }) => {
    const uid = marker();
    await wire.ask(path, chat("[[status=500]]"), [`X-Sourcegraph-Actor-UID: ${uid}`]);
    const event = await gw.event(({ endUser }) => endUser?.id === uid);
    expect(event).toMatchObject({ outcome: "failed", upstreamStatus: 500, charged: false, model: "openai/gpt-4o" });
  });
});

describe("1.3.22 the quota", () => {
  it("is charged for answers of 200 to 299 only", async ({ expect }) => {
    await using own = await testGateway({ actor: { limits: { chat_completions: [{ limit: 9, per: "24h" }] } } });
    const at = wireTo(own);
    const used = async () =>
      (JSON.parse((await at.send("GET /v1/limits", [bearer()])).body) as { chat_completions: { usage: number } })
        .chat_completions.usage;
    for (const content of ["[[status=400]]", "[[status=500]]", "[[status=429]]"]) await at.ask(path, chat(content));
    expect(await used()).toBe(0);
    await at.ask(path, chat("hi"));
    await at.ask(path, chat("hi", { stream: true }));
    expect(await used()).toBe(2);
  });
});
