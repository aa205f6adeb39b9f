// Traces and who is behind a request: wire.md 1.2 (`X-Trace`), 7 (`trace_id`, `sg_actor_id`), 20.10.

import { once } from "node:events";
import { connect } from "node:http2";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type TestGateway, testGateway, token } from "../../helpers/gateway.js";
import { recordingLog } from "../../helpers/log.js";
import { bearer, marker, type Wire, wireTo } from "../../helpers/wire.js";

const log = recordingLog();
let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  gw = await testGateway({ log });
  wire = wireTo(gw);
});
afterAll(() => gw[Symbol.asyncDispose]());

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = `traceparent: 00-${traceId}-00f067aa0ba902b7-01`;
const chat = (content: string) => ({ model: "gpt-4o", messages: [{ role: "user", content }] });

describe.concurrent("1.2, 20.10 traces", () => {
  it.for([
    ["POST /v1/completions/openai", 400],
    ["POST /openai/v1/chat/completions", 400],
    ["POST /codygateway.v1.LimitsService/GetLimits", 415],
    ["GET /v1/limits", 200],
    ["POST /v1/limits/refresh", 200],
    ["GET /v1/completions/openai", 405],
    ["GET /v1/nowhere", 404],
    ["TRACE /v1/limits", 405],
  ] as const)("X-Trace and X-Trace-Span are on the answer to %s, which is %i", async ([line, status], { expect }) => {
    const reply = await wire.send(line, [bearer(), traceparent], line.startsWith("POST") ? "" : undefined);
    expect(reply.status).toBe(status);
    expect(reply.headers["x-trace"]).toBe(traceId);
    expect(reply.headers["x-trace-span"]).toMatch(/^[0-9a-f]{16}$/);
  });

  it("are begun here where the caller's cannot be read", async ({ expect }) => {
    const given = ["", "traceparent: nonsense", "X-Sourcegraph-Should-Trace: true"];
    const traces = await Promise.all(
      given.map(
        async (line) => (await wire.send("GET /v1/limits", [bearer(), ...(line ? [line] : [])])).headers["x-trace"],
      ),
    );
    for (const each of traces) expect(each).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(traces).size).toBe(given.length);
  });

  it("are told over HTTP/2 and with RPCs", async ({ expect }) => {
    const session = connect(gw.url);
    try {
      const stream = session.request({
        ":path": "/codygateway.v1.LimitsService/GetLimits",
        ":method": "POST",
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        "connect-protocol-version": "1",
        traceparent: traceparent.slice("traceparent: ".length),
      });
      stream.end("{}");
      const [headers] = (await once(stream, "response")) as [Record<string, string | number>];
      expect(headers).toMatchObject({ ":status": 200, "x-trace": traceId });
      expect(headers["x-trace-span"]).toMatch(/^[0-9a-f]{16}$/);
    } finally {
      session.destroy();
    }
  });

  it("are carried in events and in the log", async ({ expect }) => {
    const uid = marker();
    const reply = await wire.ask("/v1/completions/openai", chat(uid), [
      traceparent,
      `X-Sourcegraph-Actor-UID: ${uid}`,
      "X-Sourcegraph-Actor-Anonymous-UID: visitor-7",
    ]);
    expect(reply.status).toBe(200);
    const event = await gw.event(({ endUser }) => endUser?.id === uid);
    expect(event).toMatchObject({ trace_id: traceId, endUser: { id: uid, anonymousId: "visitor-7" } });
    const line = log.lines.find(({ fields }) => (fields as { id?: string }).id === event.id);
    expect(line?.fields).toMatchObject({ trace_id: traceId });
    expect(wire.seen(uid)?.headers).not.toHaveProperty("traceparent");
  });

  it("are in the log where a request is refused at the edge", async ({ expect }) => {
    const own = "a".repeat(32);
    await wire.send("GET /v1/limits", ["Authorization: Basic eA==", `traceparent: 00-${own}-00f067aa0ba902b7-01`]);
    expect(log.lines.map(({ fields }) => fields)).toContainEqual(
      expect.objectContaining({ trace_id: own, reason: "CREDENTIALS_MALFORMED" }),
    );
  });

  it("are carried in the events of typed calls", async ({ expect }) => {
    const uid = marker();
    const own = "b".repeat(32);
    const reply = await wire.send(
      "POST /codygateway.v1.CompletionsService/Complete",
      [
        bearer(),
        "Content-Type: application/json",
        "Connect-Protocol-Version: 1",
        `traceparent: 00-${own}-00f067aa0ba902b7-01`,
        `X-Sourcegraph-Actor-UID: ${uid}`,
      ],
      { model: "openai/gpt-4o", chat: { messages: [{ role: "ROLE_USER", parts: [{ text: "hi" }] }] } },
    );
    expect(reply.status).toBe(200);
    expect(await gw.event(({ endUser }) => endUser?.id === uid)).toMatchObject({ trace_id: own });
  });
});

describe.concurrent("15.8 X-Sourcegraph-Actor-UID", () => {
  it.for([
    ["42", "acme:42"],
    ["internal", "acme:internal"],
    ["none", "acme:none"],
    ["6452a8fc-e650-45a7-a0a2-357f776b3b46", "acme:6452a8fc-e650-45a7-a0a2-357f776b3b46"],
    ["42:evil", "acme:"],
    ["4 2", "acme:"],
    ["x".repeat(65), "acme:"],
    ['"42"', "acme:"],
  ] as const)("%s reaches the provider as %s", async ([uid, endUser], { expect }) => {
    const text = marker();
    const reply = await wire.ask("/v1/completions/openai", chat(text), [`X-Sourcegraph-Actor-UID: ${uid}`]);
    expect(reply.status).toBe(200);
    expect(wire.seen(text)?.endUser).toBe(endUser);
  });
});
