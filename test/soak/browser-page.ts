// Runs in a browser, in a page of another origin than the gateway's: makes calls, and tells its server what came of each.

import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { CompletionsService, Role } from "../../gen/codygateway/v1/completions_pb.js";
import { LimitsService } from "../../gen/codygateway/v1/limits_pb.js";

// Browsers have it; nothing else here is one.
declare const location: { readonly href: string };

const asked = new URL(location.href).searchParams;
const gateway = asked.get("gateway") ?? "";
const token = asked.get("token") ?? "";
const headers = { authorization: `Bearer ${token}` };
const connect = createConnectTransport({ baseUrl: gateway });
const grpcWeb = createGrpcWebTransport({ baseUrl: gateway });

const input = {
  case: "chat" as const,
  value: {
    messages: [{ role: Role.USER, parts: [{ kind: { case: "text" as const, value: "[[say hello browser]]" } }] }],
  },
};
const completion = { model: "openai/gpt-4o", input };

async function streamed(transport: typeof connect): Promise<string> {
  let text = "";
  const client = createClient(CompletionsService, transport);
  for await (const { event } of client.streamComplete({ completion }, { headers }))
    if (event.case === "textDelta") text += event.value.text;
  return text;
}

const calls: Readonly<Record<string, () => Promise<string>>> = {
  async "connect unary"() {
    await createClient(LimitsService, connect).getLimits({}, { headers });
    return "done";
  },
  "connect stream": () => streamed(connect),
  "grpc-web stream": () => streamed(grpcWeb),
  async "grpc-web refusal"() {
    const wrong = { headers: { authorization: "Bearer nobody-knows-this-one" } };
    return createClient(LimitsService, grpcWeb)
      .getLimits({}, wrong)
      .then(
        () => "let in",
        (error: unknown) => String(error),
      );
  },
  async "sdk stream"() {
    const answer = await fetch(`${gateway}/openai/v1/chat/completions`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", "x-stainless-lang": "js" },
      body: JSON.stringify({
        model: "gpt-4o",
        stream: true,
        messages: [{ role: "user", content: "[[say hello browser]] [[chunks=2 every=20]]" }],
      }),
    });
    const told = ["x-request-id", "x-trace", "x-cody-resolved-model"].map((name) => answer.headers.has(name));
    return `${answer.status} ${told.join()} ${(await answer.text()).includes("[DONE]")}`;
  },
  async administration() {
    await fetch(`${gateway}/codygateway.v1.ActorAdminService/ListSources`, { method: "POST", headers, body: "{}" });
    return "reached";
  },
};

async function run(): Promise<void> {
  const results: Record<string, string> = {};
  for (const [name, call] of Object.entries(calls))
    results[name] = await call().catch((error: unknown) => `failed: ${error instanceof Error ? error.name : "?"}`);
  await fetch("/results", { method: "POST", body: JSON.stringify(results) });
}

void run();
