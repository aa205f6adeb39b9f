import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { runServe } from "../../src/cli/serve.js";
import { openDatabase } from "../../src/lib/database.js";
import { dataDir } from "../helpers/data-dir.js";
import { testUpstream } from "../helpers/upstream.js";
import { fakeIo } from "./fake-io.js";

const token = "a token of twenty characters".replaceAll(" ", "-");
const actor = (limit: number) => `
actors:
  - id: acme
    tokens: [ { ref: env:ACME_TOKEN } ]
    limits: { chat_completions: [ { limit: ${limit}, per: 1h } ], code_completions: [ { limit: 1, per: 1h } ], embeddings: [ { limit: 1, per: 1h } ] }
`;

const env = {
  ANTHROPIC_API_KEY: "canary-key",
  ACME_TOKEN: token,
  PORT: "0",
  CODY_GATEWAY_HOST: "127.0.0.1",
  CODY_GATEWAY_CONFIG: "/gw.yaml",
  CODY_GATEWAY_EVENTS_SINKS: "none",
  CODY_GATEWAY_DRAIN_DELAY: "0s",
};

/** `serve` under way, with the file that it follows. */
async function serving(files: Record<string, string>, over: Record<string, string> = {}) {
  const fake = fakeIo({ ...env, ...over }, files);
  const ended = runServe([], fake.io);
  await vi.waitFor(() => expect(fake.state.signal).toBeDefined(), { timeout: 30_000, interval: 5 });
  const url = String(fake.log.find(({ message }) => message === "listening")?.fields["url"]);
  const limitOf = async (): Promise<number> => {
    const answer = await fetch(`${url}/v1/limits`, { headers: { authorization: `Bearer ${token}` } });
    return ((await answer.json()) as { chat_completions: { limit: number } }).chat_completions.limit;
  };
  const stop = async (): Promise<number> => {
    fake.state.signal?.("SIGTERM");
    return ended;
  };
  return { ...fake, url, limitOf, stop, ended };
}

describe("serve", () => {
  it("serves until it is told to stop, and leaves no line unwritten", async () => {
    const { url, stop, state, log } = await serving({ "/gw.yaml": actor(5) });

    expect((await fetch(`${url}/-/__version`)).status).toBe(200);
    expect(await (await fetch(`${url}/-/__version`)).text()).toContain("1.2.3");

    expect(await stop()).toBe(0);
    expect(state.flushed).toBeGreaterThan(0);
    expect(state.changed).toBeUndefined();
    expect(JSON.stringify(log)).not.toContain("canary");
  });

  it("follows changes of the file, and keeps what it has when the file is broken", async () => {
    const files = { "/gw.yaml": actor(5) };
    const { limitOf, stop, state, log } = await serving(files);
    expect(await limitOf()).toBe(5);

    files["/gw.yaml"] = actor(7);
    state.changed?.();
    expect(await limitOf()).toBe(7);

    files["/gw.yaml"] = `${actor(9)}broken: true`;
    state.signal?.("SIGHUP");
    expect(await limitOf()).toBe(7);
    expect(log.at(-1)).toMatchObject({ level: "error" });
    expect(log.at(-1)?.fields["problem"]).toMatch(/^\/gw\.yaml:6: broken: unknown key/);
    await stop();
  });

  it("says of what has changed beside the actors that it needs a start", async () => {
    const files = { "/gw.yaml": actor(5) };
    const { stop, state, log } = await serving(files);

    files["/gw.yaml"] = `${actor(5)}quotaStoreFailure: { embeddings: allow:5 }`;
    state.changed?.();

    expect(log.at(-1)).toMatchObject({
      level: "warn",
      message: expect.stringContaining("at the next start") as string,
    });
    await stop();
  });

  it("takes over keys that have changed where they are kept, on SIGHUP", async () => {
    await using upstream = await testUpstream();
    const provider = `providers: [ { name: local, kind: openai-compatible, baseUrl: "${upstream.url}/v1", models: ["*"], keys: [ { ref: "file:/key" } ] } ]`;
    const files = { "/gw.yaml": `${actor(5)}${provider}`, "/key": "canary-old-key\n" };
    const { url, stop, state, log } = await serving(files);
    const ask = async (): Promise<number> => {
      const body = JSON.stringify({ model: "demo-one", messages: [{ role: "user", content: "hello" }] });
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(`${url}/local/v1/chat/completions`, { method: "POST", headers, body })).status;
    };
    expect(await ask()).toBe(200);

    files["/key"] = "canary-new-key\n";
    state.signal?.("SIGHUP");
    expect(log.at(-1)).toMatchObject({
      message: "configuration read again",
      fields: { actors: 1, newKeys: ["local"] },
    });
    expect(await ask()).toBe(200);
    state.signal?.("SIGHUP");
    expect(log.at(-1)).toMatchObject({ message: "configuration read again", fields: { newKeys: [] } });

    expect(upstream.calls.map(({ key }) => key)).toEqual(["canary-old-key", "canary-new-key"]);
    expect(JSON.stringify(log)).not.toContain("canary");
    await stop();
  });

  it("ends with 78 and every problem when the configuration is wrong", async () => {
    const { io, written } = fakeIo({ ...env, PORT: "x" }, { "/gw.yaml": "a: 1" });

    expect(await runServe([], io)).toBe(78);
    expect(written.stderr.match(/^error: /gm)).toHaveLength(2);
  });

  it("names the demo when nothing is configured", async () => {
    const { io, written } = fakeIo();

    expect(await runServe([], io)).toBe(78);
    expect(written.stderr).toContain("cody-gateway demo");
  });

  it("ends with 1 and says what to do when the port is taken", async () => {
    const taken: Server = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const { io, written } = fakeIo({ ...env, PORT: `${port}` }, { "/gw.yaml": actor(1) });

    expect(await runServe([], io)).toBe(1);

    expect(written.stderr).toMatch(/is taken by another process.*set PORT/);
    taken.close();
  });

  it("refuses a data directory that another process uses, and one that it cannot read", async () => {
    await using dir = await dataDir();
    const database = await openDatabase(dir.path);
    const over = { ...env, CODY_GATEWAY_DATA_DIR: dir.path };
    const start = async () => {
      const { io, written } = fakeIo(over, { "/gw.yaml": actor(5) });
      return [await runServe([], io), written.stderr];
    };
    expect(await start()).toEqual([
      78,
      expect.stringMatching(/CODY_GATEWAY_DATA_DIR: .*gateway\.db is in use by another process: stop that process, or/),
    ]);
    await database.close();
    await writeFile(join(dir.path, "gateway.db"), "something else ".repeat(1_000));
    expect(await start()).toEqual([
      78,
      expect.stringMatching(/CODY_GATEWAY_DATA_DIR: .*gateway\.db is damaged or no database: restore it from a backup/),
    ]);
  });
});
