// What callers were answered, as /metrics tell of it.

import { ConnectError } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { testGateway, token } from "../helpers/gateway.js";
import { metricOf } from "../helpers/metric.js";
import { until } from "../helpers/redis.js";

const chat = (content: string) => JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content }] });

it("counts answers of every surface by their status, those of providers too", async () => {
  await using gateway = await testGateway({ actor: { limits: { chat_completions: [{ limit: 2, per: "24h" }] } } });
  const { url, upstream } = gateway;
  const post = async (path: string, credentials: string, content = "hello", signal?: AbortSignal): Promise<number> => {
    const answer = await fetch(`${url}${path}`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${credentials}`,
        "content-type": "application/json",
        "x-sourcegraph-feature": "chat_completions",
      },
      body: chat(content),
      ...(signal && { signal }),
    });
    await answer.text();
    return answer.status;
  };
  const counted = (surface: string, status: number | "none") =>
    metricOf(gateway, `cody_gateway_http_responses_total{surface="${surface}",status="${status}"}`);
  /** Requests are counted once they are over, which their caller may see before. */
  const untilCounted = (surface: string, status: number | "none", count = 1) =>
    until(async () => (await counted(surface, status)) === count);
  const sdk = "/openai/v1/chat/completions";

  upstream.script({ status: 418 });
  expect(await post(sdk, token)).toBe(418);
  await untilCounted("sdk", 418);

  expect([await post(sdk, token), await post(sdk, token), await post(sdk, token)]).toEqual([200, 200, 429]);
  await untilCounted("sdk", 200, 2);
  await untilCounted("sdk", 429);

  expect(await post("/v1/completions/openai", "nobody")).toBe(401);
  await untilCounted("sourcegraph", 401);

  const client = gateway.client();
  const error = await client.completions
    .complete({
      model: "openai/gpt-4o",
      input: {
        case: "chat",
        value: { messages: [{ role: 1, parts: [{ kind: { case: "text", value: "hello" } }] }] },
      },
    })
    .catch(ConnectError.from);
  expect(error).toBeInstanceOf(ConnectError);
  await untilCounted("rpc", 429);
  await client.limits.getLimits({});
  await untilCounted("rpc", 200);

  expect((await fetch(`${url}/no/such/path`)).status).toBe(404);
  await untilCounted("none", 404);
});

it("counts those that were gone before they were answered", async () => {
  await using gateway = await testGateway();
  gateway.upstream.holdAll();
  const leaving = new AbortController();
  const left = fetch(`${gateway.url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: chat("hello"),
    signal: leaving.signal,
  });
  await gateway.upstream.nextCall();
  leaving.abort();
  await expect(left).rejects.toThrow("abort");
  const none = 'cody_gateway_http_responses_total{surface="sdk",status="none"}';
  await until(async () => (await metricOf(gateway, none)) === 1);
});
