import { afterAll, beforeAll, expect, it } from "vitest";
import { connectRedis, type RedisConnection } from "../../src/lib/redis.js";
import { type RedisServer, startRedis, until } from "../helpers/redis.js";

let server: RedisServer;
let redis: RedisConnection;
beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.endpoint, "quota");
  await until(async () => redis.client.status === "ready");
});
afterAll(async () => {
  await redis?.close();
  await server?.[Symbol.asyncDispose]();
});

const send = (name: string, ...args: string[]) => redis.send(server.endpoint, name, args);

it("each command gets its own answer, whoever else sends over the connection meanwhile", async () => {
  const asked: Promise<unknown>[] = [];
  const expected: unknown[] = [];
  for (let i = 0; i < 300; i++) {
    asked.push(send("echo", `a${i} 語 😀 \r\n$3\r\n`));
    expected.push(`a${i} 語 😀 \r\n$3\r\n`);
    if (i % 7 === 0) {
      asked.push(redis.client.echo(`client ${i}`));
      expected.push(`client ${i}`);
    }
    if (i % 50 === 0) {
      asked.push(redis.client.multi().incr(`n${i}`).echo("in a transaction").exec());
      expected.push([
        [null, 1],
        [null, "in a transaction"],
      ]);
    }
    // Some later, when what came before is on its way.
    if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await Promise.all(asked)).toEqual(expected);
});

it("answers are numbers, texts and lists of them, nothing, or what Redis says is wrong", async () => {
  expect(await send("eval", "return { 1, 'é', { 2, { 'x' } } }", "0")).toEqual([1, "é", [2, ["x"]]]);
  expect(await send("get", "nothing")).toBeNull();
  expect(await send("set", "", "")).toBe("OK");
  expect(await send("get", "")).toBe("");
  await send("set", "secret-key", "secret-value");
  const error = await send("incr", "secret-key").catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: "ReplyError", message: expect.stringMatching(/not an integer/) });
  expect(JSON.stringify(error)).not.toContain("secret");
});

it("what was sent and not answered when the connection breaks fails, and is not sent again", async () => {
  await send("set", "counter", "0");
  server.freeze();
  const lost = Array.from({ length: 10 }, () => send("incr", "counter").catch((error: unknown) => error));
  await new Promise((resolve) => setImmediate(resolve));
  redis.client.disconnect(true);
  for (const outcome of await Promise.all(lost)) expect(outcome).toBeInstanceOf(Error);
  await expect(send("incr", "counter")).rejects.toThrow("not connected");
  server.thaw();
  await until(async () => redis.client.status === "ready");
  // Redis may have read them before: each once at most.
  expect(Number(await send("get", "counter"))).toBeLessThanOrEqual(10);
});
