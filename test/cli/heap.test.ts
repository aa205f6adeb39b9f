// The heap of a gateway: when it is collected, and what /metrics tell of it.

import { request } from "undici";
import { expect, it } from "vitest";
import { startFleet, tokenOf } from "../helpers/processes.js";

it("large bodies are freed without the whole heap being collected for them", async () => {
  await using fleet = await startFleet({ actors: { acme: [] } });
  const [gateway] = fleet.gateways;
  if (!gateway) throw new Error("no gateway");
  const collections = async (): Promise<number> =>
    (await gateway.metric("nodejs_gc_duration_seconds_count", 'kind="major"')) ?? 0;
  // Refused, once it has been read.
  const body = JSON.stringify({
    model: "nobody-serves-this",
    messages: [{ role: "user", content: "word ".repeat(40_000) }],
  });
  const ask = async (): Promise<void> => {
    const headers = { authorization: `Bearer ${tokenOf("acme")}`, "content-type": "application/json" };
    const answer = await request(`${gateway.url}/openai/v1/chat/completions`, { method: "POST", headers, body });
    expect(answer.statusCode).toBe(400);
    await answer.body.dump();
  };
  const askAtOnce = async (times: number): Promise<void> => {
    for (let sent = 0; sent < times; sent += 10) await Promise.all(Array.from({ length: 10 }, ask));
  };
  // What comes first makes the heap grow for good.
  await askAtOnce(30);
  const before = await collections();

  // 100 MB of buffers.
  await askAtOnce(250);

  expect((await collections()) - before).toBeLessThanOrEqual(1);
});

it("how large the heap may become is told, how close it is, and what it may grow by", async () => {
  const mebibyte = 2 ** 20;
  await using fleet = await startFleet({
    actors: { acme: [] },
    env: { NODE_OPTIONS: "--max-old-space-size=300" },
  });
  const [gateway] = fleet.gateways;
  if (!gateway) throw new Error("no gateway");
  const read = async (name: string): Promise<number> => (await gateway.metric(name)) ?? Number.NaN;

  const limit = await read("cody_gateway_heap_limit_bytes");
  expect(limit).toBeGreaterThanOrEqual(300 * mebibyte);
  // What is young has room of its own.
  expect(limit).toBeLessThan(600 * mebibyte);
  const used = await read("cody_gateway_heap_used_ratio");
  expect(used * limit).toBeGreaterThan(5 * mebibyte);
  expect(used).toBeLessThan(1);
  await expect.poll(() => read("cody_gateway_heap_growth_ratio")).toBeGreaterThanOrEqual(0.5);
});
