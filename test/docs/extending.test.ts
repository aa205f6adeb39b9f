// The examples of docs/extending.md: each stands there as it is here, and does what its contract asks.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { json } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Role } from "../../gen/codygateway/v1/completions_pb.js";
import type { UsageEvent } from "../../src/usage/event.js";
import { describeProvider } from "../contract/provider.js";
import { describeSink } from "../contract/sink.js";
import { describeSource } from "../contract/source.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";
import { acme } from "./examples/acme.js";
import { createAcmeSink } from "./examples/acme-sink.js";
import { createAcmeSource } from "./examples/acme-source.js";
import { readText } from "./markdown.js";

/** Where the examples would stand in `src`. */
const places = new Map([
  ["acme.ts", "providers"],
  ["acme-source.ts", "actors/sources"],
  ["acme-sink.ts", "usage/sinks"],
]);

describe("docs/extending.md", () => {
  // `vitest -u` writes the examples anew.
  it("shows the examples as they are tested", async () => {
    const marked = /(<!-- example: (\S+) -->\n\n```ts\n)[\s\S]*?(```\n)/g;
    const text = readText("docs/extending.md");
    expect([...text.matchAll(marked)].map(([, , file]) => file)).toEqual([...places.keys()]);

    const current = text.replaceAll(
      marked,
      (_, begin: string, file: string, end: string) => begin + inPlace(file) + end,
    );

    await expect(current).toMatchFileSnapshot(resolve(import.meta.dirname, "../../docs/extending.md"));
  });
});

/** An example with its imports as they are where it would stand. */
function inPlace(file: string): string {
  const folder = places.get(file) ?? "";
  const up = "../".repeat(folder.split("/").length);
  return readText(`test/docs/examples/${file}`)
    .replaceAll(`../../../src/${folder}/`, "./")
    .replaceAll("../../../src/", up)
    .replaceAll("../../../gen/", `${up}../gen/`)
    .replaceAll(`${up}${folder.split("/")[0]}/`, "../");
}

describeProvider(acme, "../docs/recordings");

describe("a gateway with one provider more", () => {
  let upstream: Server;
  let gateway: TestGateway;
  const seen: { path: string | undefined; authorization: string | undefined; body: { model: string } }[] = [];

  beforeAll(async () => {
    upstream = createServer((req, res) => {
      void json(req).then((body) => {
        const { stream, ...rest } = body as { stream?: boolean; model: string };
        seen.push({ path: req.url, authorization: req.headers.authorization, body: rest });
        res.setHeader("content-type", stream ? "text/event-stream" : "application/json");
        res.end(readText(`test/docs/recordings/${stream ? "text.sse" : "whole.json"}`));
      });
    });
    await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
    const { port } = upstream.address() as AddressInfo;
    const keys = [{ ref: "env:ACME_API_KEY" }];
    gateway = await testGateway({
      providers: [acme],
      file: { providers: [{ name: "acme", kind: "acme", baseUrl: `http://127.0.0.1:${port}`, keys, models: ["*"] }] },
      env: { ACME_API_KEY: "key-of-acme" },
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    upstream.close();
  });

  const message = { role: Role.USER, parts: [{ kind: { case: "text" as const, value: "hi" } }] };
  const completion = { model: "acme/chat-1", input: { case: "chat" as const, value: { messages: [message] } } };

  it("completes by it, charges it and tells of it", async () => {
    const { message: answer, model } = await gateway.client().completions.complete(completion);
    expect({ model, said: answer?.parts[0]?.kind.value }).toEqual({ model: "acme/chat-1", said: "Hello" });
    expect(seen.at(-1)).toMatchObject({
      path: "/chat",
      authorization: "Bearer key-of-acme",
      body: { model: "chat-1" },
    });
    expect(await gateway.event()).toMatchObject({
      provider: "acme",
      upstream: "acme",
      model: "acme/chat-1",
      outcome: "completed",
      usage: { inputTokens: 3, outputTokens: 0 },
    });
  });

  it("streams by it", async () => {
    gateway.reset();
    let said = "";
    for await (const { event } of gateway.client().completions.streamComplete({ completion }))
      if (event.case === "textDelta") said += event.value.text;
    expect(said).toBe("Grüße, 世界");
    expect(await gateway.event()).toMatchObject({ outcome: "completed", usage: { inputTokens: 7, outputTokens: 5 } });
  });
});

const known = `acme_${"a1".repeat(16)}`;

describeSource("acme", async () => ({
  source: createAcmeSource({
    url: "https://accounts.acme.example",
    key: "key",
    fetch: async (_, init) => {
      const { token } = JSON.parse(init?.body as string) as { token: string };
      const account = { id: "7", name: "Seven", active: true, chatsPerDay: 10 };
      return token === known ? Response.json(account) : new Response(null, { status: 404 });
    },
  }),
  known,
  foreign: [undefined, "", "acme_short", `slk_${"0".repeat(64)}`],
  unknown: [`acme_${"b2".repeat(16)}`],
}));

describeSink("acme", async () => {
  const received: UsageEvent[] = [];
  let status = 200;
  return {
    sink: createAcmeSink({
      url: "https://collector.acme.example",
      key: "key",
      fetch: async (_, init) => {
        if (status === 200) received.push(...(JSON.parse(init?.body as string) as UsageEvent[]));
        return new Response(null, { status });
      },
    }),
    received: async () => received,
    breakOff: async () => void (status = 503),
    mend: async () => void (status = 200),
  };
});
