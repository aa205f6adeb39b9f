// What callers write where a model's name belongs: it never leaves its place in a URL, and no spelling gets past a list.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Role } from "../../gen/codygateway/v1/completions_pb.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { rawConnect } from "../helpers/raw-http.js";

/** Another server, which nobody was told to ask: names must not lead to it. */
const elsewhere = createServer((_req, res) => res.end());
let visits = 0;
elsewhere.on("connection", () => visits++);

let gw: TestGateway;
let evil: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => void elsewhere.listen(0, "127.0.0.1", resolve));
  evil = `127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
  gw = await testGateway({ env: { CODY_GATEWAY_GOOGLE_ALLOWED_MODELS: "*" } });
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  elsewhere.close();
  expect(visits).toBe(0);
});
beforeEach(() => gw.reset());

/** Names that a path, a URL or a header could be broken with; `EVIL` is the other server's address. */
const hostile = [
  "..",
  ".",
  "../..",
  "../../v1/files",
  "..%2f..%2fv1%2ffiles",
  "%2e%2e/%2e%2e/files",
  "%252e%252e%252f",
  "a/../../b",
  "a/./b",
  "./a",
  "a/..",
  "/",
  "//",
  "//EVIL/x",
  "///EVIL",
  "/v1beta/models/x",
  "\\\\EVIL\\x",
  "..\\..\\x",
  "http://EVIL/",
  "https://EVIL/x",
  "HTTP:EVIL",
  "@EVIL",
  "user@EVIL/x",
  "x@EVIL:80",
  ":EVIL",
  ":80/x",
  "x?key=stolen",
  "?",
  "x?alt=sse",
  "x&key=1",
  "x#fragment",
  "#",
  "x;y=1",
  "x=1",
  "x:generateContent",
  "x:streamGenerateContent?alt=sse",
  "x:countTokens",
  ":",
  "x y",
  "x+y",
  "x%20y",
  "x%00y",
  "x%0d%0aHost:%20EVIL",
  "%",
  "%zz",
  "100%",
  "x'y",
  'x"y',
  "x<y>",
  "x|y",
  "x^y`{z}",
  "{model}",
  "*",
  "x*",
  "~x",
  "x,y",
  "$&",
  "$1",
  "ünïcode/模型",
  "🙂",
  "__proto__",
  "constructor",
];

/** What cannot be a name at all. */
const impossible = [
  "",
  " ",
  " x",
  "x ",
  "x\ty",
  "x\r\nHost: EVIL",
  "x\n",
  "\u0000",
  "x\u0000y",
  "x\u007f",
  "x\u202ey",
  "\ufeffx",
  "x\u200b",
  "\ud800",
  "x".repeat(300),
];

const named = (name: string): string => name.replaceAll("EVIL", evil);
const contents = [{ role: "user", parts: [{ text: "hi" }] }];

function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(gw.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "x-sourcegraph-feature": "chat_completions", ...headers },
    body,
  });
}

/** Parts of dots are folders to some: nothing is called so. */
function hasDots(name: string): boolean {
  return name.split("/").some((part) => part === "." || part === "..");
}

/** The name that the upstream's path stands for, when the path is what it must be. */
function nameAtUpstream(path = ""): string {
  const [, segment = ""] =
    /^\/v1beta\/models\/([A-Za-z0-9%\-_.!~*'()]+):(?:stream)?(?:[gG]enerateContent)$/.exec(path) ?? [];
  return decodeURIComponent(segment);
}

describe("a hostile name", () => {
  it("has sixty forms here", () => {
    expect(hostile.length).toBeGreaterThanOrEqual(60);
  });

  it.each(hostile)("in a body stays one encoded segment of the path: %j", async (raw) => {
    const model = named(raw);
    const answer = await post("/v1/completions/google", JSON.stringify({ model, contents }));
    await answer.text();
    if (hasDots(model)) expect(answer.status).toBe(400);
    expect(gw.upstream.calls.map(({ path }) => nameAtUpstream(path))).toEqual(hasDots(model) ? [] : [model]);
    for (const { headers } of gw.upstream.calls) expect(headers.host).toBe(new URL(gw.upstream.url).host);
  });

  it.each(hostile)("in a typed request does, too: %j", async (raw) => {
    const model = named(raw);
    const parts = [{ kind: { case: "text" as const, value: "hi" } }];
    const input = { case: "chat" as const, value: { messages: [{ role: Role.USER, parts }] } };
    await gw
      .client()
      .completions.complete({ model: `google/${model}`, input })
      .catch((error: unknown) => ConnectError.from(error));
    const calls = gw.upstream.calls.map(({ path }) => nameAtUpstream(path));
    expect(calls).toEqual(hasDots(model) ? [] : [model]);
  });

  it.each(hostile)("in a path is refused, or stays one encoded segment: %j", async (raw) => {
    const model = named(raw);
    const body = JSON.stringify({ contents });
    // Clients that are no better than their callers write the name as it is.
    for (const written of [model, encodeURIComponent(model)]) {
      gw.reset();
      const connection = await rawConnect(gw.gateway.port);
      const head = [
        `POST /google/v1beta/models/${written}:generateContent HTTP/1.1`,
        "Host: gateway",
        `X-Goog-Api-Key: ${token}`,
        `Content-Length: ${Buffer.byteLength(body)}`,
      ];
      connection.send(Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`));
      const answer = await connection.reply();
      connection.destroy();
      const [call] = gw.upstream.calls;
      if (!call) expect(answer?.status).toBeOneOf([400, 404, undefined]);
      else expect(nameAtUpstream(call.path)).not.toBe("");
      expect(gw.upstream.calls.length).toBeLessThanOrEqual(1);
    }
  });

  it.each(impossible)("that can be no name is refused: %j", async (raw) => {
    for (const path of ["/v1/completions/google", "/v1/completions/openai", "/fireworks/v1/completions"]) {
      const answer = await post(path, JSON.stringify({ model: named(raw), contents, messages: [], prompt: "x" }));
      expect(answer.status, path).toBe(400);
    }
    expect(gw.upstream.calls).toHaveLength(0);
  });
});

describe("a name that a body has twice", () => {
  const chat = (members: string): string => `{${members},"messages":[{"role":"user","content":"hi"}]}`;

  it.each([
    ['"model":"gpt-4o","model":"davinci"'],
    ['"model":"davinci","model":"gpt-4o"'],
    ['"model":"gpt-4o","mod\\u0065l":"davinci"'],
    ['"\\u006dodel":"gpt-4o","model":"davinci"'],
    ['"model":"gpt-4o","Model":"davinci"'],
    ['"MODEL":"davinci","model":"gpt-4o"'],
    ['"model":"gpt-4o","mode\\u006c":"davinci"'],
    ['"model":"gpt-4o","model":"gpt-4o"'],
  ])("is refused: %s", async (members) => {
    for (const path of ["/openai/v1/chat/completions", "/v1/completions/openai"]) {
      const answer = await post(path, chat(members));
      expect(answer.status, path).toBe(400);
      expect(await answer.text()).toContain("duplicate key");
    }
    expect(gw.upstream.calls).toHaveLength(0);
  });

  it.each([
    ['"model":"davinci"', 400],
    ['"mod\\u0065l":"davinci"', 400],
    ['"Model":"gpt-4o"', 400],
    ['"model":["gpt-4o"]', 400],
    ['"model":{"gpt-4o":1}', 400],
    ['"model":null', 400],
    ['"model":"gpt-4o\\u0000"', 400],
    ['"model":"\\ud800gpt-4o"', 400],
    ['"mod\\u0065l":"gpt-4o"', 200],
    ['"model":"\\u0067pt-4o"', 200],
    // In a pattern case does not count; the upstream knows no such name.
    ['"model":"GPT-4O"', 404],
    ['"model":"openai/gpt-4o"', 200],
    ['"model":"OpenAI/gpt-4o"', 200],
  ])("is what was checked: %s", async (members, status) => {
    const answer = await post("/openai/v1/chat/completions", chat(members));
    expect(answer.status).toBe(status);
    const sent = gw.upstream.calls.map(({ json }) => (json as { model: string }).model.toLowerCase());
    expect(sent).toEqual(status === 400 ? [] : ["gpt-4o"]);
  });

  it("is refused with a byte order mark before the body", async () => {
    const answer = await post("/openai/v1/chat/completions", `\ufeff${chat('"model":"gpt-4o"')}`);
    expect(answer.status).toBe(400);
  });

  it("is one name for Google, in path and body", async () => {
    const path = "/google/v1beta/models/gemini-2.5-flash:generateContent";
    for (const members of ['"model":"gemini-2.5-pro"', '"model":["x"]', '"mod\\u0065l":"gemini-2.5-pro"'])
      expect((await post(path, `{${members},"contents":${JSON.stringify(contents)}}`)).status).toBe(400);
    expect(gw.upstream.calls).toHaveLength(0);
  });
});
