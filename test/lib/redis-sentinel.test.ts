import { expect, it } from "vitest";
import { connectRedis } from "../../src/lib/redis.js";
import { startSentinel, until } from "../helpers/redis.js";

it("all connections find the new primary when the old one dies, whatever they were about to do when Sentinels told of it", async () => {
  await using sentinel = await startSentinel();
  const connections = Array.from({ length: 16 }, () => connectRedis(sentinel.endpoint, "quota"));
  const answered = async (): Promise<number> => {
    const answers = await Promise.allSettled(connections.map(({ client }) => client.incr("count")));
    return answers.filter(({ status }) => status === "fulfilled").length;
  };
  try {
    await until(async () => (await answered()) === connections.length);
    await sentinel.primary.kill();
    expect(await answered()).toBe(0);

    await until(() => sentinel.knowsNew());
    await until(async () => (await answered()) === connections.length);
  } finally {
    await Promise.all(connections.map((each) => each.close()));
  }
});
