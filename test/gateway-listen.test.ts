// A gateway that cannot listen says so, and leaves nothing that goes on.

import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../src/config.js";
import { startGateway } from "../src/gateway.js";
import { CannotListenError } from "../src/gateway-listen.js";
import { openDatabase } from "../src/lib/database.js";
import { dataDir } from "./helpers/data-dir.js";
import { freePort } from "./helpers/free-port.js";
import { intervals } from "./helpers/intervals.js";
import { silentLog } from "./helpers/log.js";
import { startRedis, until } from "./helpers/redis.js";

const taken = createServer();
let takenPort = 0;
beforeAll(async () => {
  await once(taken.listen(0, "127.0.0.1"), "listening");
  takenPort = (taken.address() as AddressInfo).port;
});
afterAll(() => void taken.close());

/** Starts a gateway, which fails; rejects where it does not. */
async function failToStart(env: Readonly<Record<string, string>>): Promise<unknown> {
  const loaded = loadConfig({ CODY_GATEWAY_HOST: "127.0.0.1", PORT: "0", OPENAI_API_KEY: "key", ...env }, () => "");
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const parts = { log: silentLog, version: "0.0.0-test" };
  const error = await startGateway(loaded.config, parts).then(
    async (gateway) => void (await gateway.drain({ delayMs: 0, timeoutMs: 0 })),
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(CannotListenError);
  return error;
}

describe("a gateway whose port is taken", () => {
  it.each([
    ["PORT", { PORT: () => takenPort }],
    ["CODY_GATEWAY_ADMIN_PORT", { CODY_GATEWAY_ADMIN_PORT: () => takenPort }],
  ])("says which setting to change: %s", async (setting, ports) => {
    const env = Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port())]));

    expect(await failToStart(env)).toMatchObject({
      code: "EADDRINUSE",
      message: `127.0.0.1:${takenPort} is taken by another process: stop it, or set ${setting} to another port`,
    });
  });

  it("gives back its other port, its data directory and its timers", async () => {
    await using dir = await dataDir();
    const before = intervals().size;
    const port = await freePort();

    await failToStart({
      PORT: String(port),
      CODY_GATEWAY_ADMIN_PORT: String(takenPort),
      CODY_GATEWAY_DATA_DIR: dir.path,
      CODY_GATEWAY_ACTORS_ALLOW_ANONYMOUS: "true",
    });

    const another = createServer().listen(port, "127.0.0.1");
    await once(another, "listening");
    another.close();
    await (await openDatabase(dir.path)).close();
    expect(intervals().size).toBe(before);
  });

  it("leaves Redis", async () => {
    await using redis = await startRedis();
    const connections = async (): Promise<number> =>
      String(await redis.client.client("LIST"))
        .trim()
        .split("\n").length;
    const before = await connections();

    await failToStart({ PORT: String(takenPort), REDIS_ENDPOINT: redis.endpoint });

    // The server hears of it a moment later.
    await until(async () => (await connections()) === before);
  });
});

it("says what to do about an address that is not the machine's own", async () => {
  expect(await failToStart({ CODY_GATEWAY_HOST: "192.0.2.1" })).toMatchObject({
    message: "192.0.2.1 is no address of this machine: set CODY_GATEWAY_HOST to one that is",
  });
});
