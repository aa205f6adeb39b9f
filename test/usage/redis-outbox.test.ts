import { randomUUID } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import { describeOutbox, type OutboxUnderTest } from "../contract/outbox.js";
import { type RedisServer, startRedis } from "../helpers/redis.js";
import { type OpenOutboxOptions, openOutbox, parkedOn, untilRead } from "../helpers/redis-outbox.js";

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());

async function underTest(options: OpenOutboxOptions): Promise<OutboxUnderTest> {
  const open = openOutbox(server.endpoint, options);
  await untilRead(server, options.prefix);
  return {
    outbox: open.outbox,
    parked: () => parkedOn(server, options.prefix),
    reopened: () => underTest(options),
    [Symbol.asyncDispose]: () => open[Symbol.asyncDispose](),
  };
}

// Long: a busy machine must not have a reader lose what it reads.
describeOutbox("Redis", (options) => underTest({ prefix: `${randomUUID()}:`, leaseMs: 5_000, ...options }));
