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
