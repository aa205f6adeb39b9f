// Several keys for one provider: which of them requests carry, and what becomes of one that the provider does not take.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config.js";
import type { Behaviour } from "../../src/demo/behaviour.js";
import type { DemoCall } from "../../src/demo/call.js";
import type { DemoUpstream } from "../../src/demo/upstream.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { recordingLog } from "../helpers/log.js";
import { metricOf } from "../helpers/metric.js";
import { testUpstream } from "../helpers/upstream.js";

const keys = { KEY_A: "first-key-of-the-provider", KEY_B: "second-key-of-the-provider" };
const { KEY_A, KEY_B } = keys;

interface Keyed extends AsyncDisposable {
  readonly gw: TestGateway;
  readonly provider: DemoUpstream;
  readonly log: ReturnType<typeof recordingLog>;
}

/** A gateway with the provider `two`, which has these keys. */
async function keyed(names: readonly string[], badKeys: readonly string[] = []): Promise<Keyed> {
  const provider = await testUpstream({ badKeys });
  const log = recordingLog();
  const gw = await testGateway({ log, env: keys, file: { providers: [providerOf(provider, names)] } });
  return {
    gw,
    provider,
    log,
    async [Symbol.asyncDispose]() {
      await gw[Symbol.asyncDispose]();
      await provider[Symbol.asyncDispose]();
    },
  };
}

function providerOf({ url }: DemoUpstream, names: readonly string[]): object {
  const refs = names.map((name) => ({ ref: `env:${name}` }));
  return { name: "two", kind: "openai-compatible", baseUrl: `${url}/v1`, keys: refs, models: ["*"] };
}

function ask({ url }: TestGateway, options: { content?: string; model?: string; stream?: boolean } = {}) {
  const { content = "hello", model = "demo-one", stream = false } = options;
  return fetch(`${url}/two/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ model, stream, messages: [{ role: "user", content }] }),
  });
}

const keysOf = (provider: DemoUpstream): (string | undefined)[] => provider.calls.map(({ key }) => key);

/** Answers calls with this key like this, others as usual. */
function withKey(key: string, behaviour: Behaviour): (call: DemoCall) => Behaviour | undefined {
  return (call) => (call.key === key ? behaviour : undefined);
}

describe("a key that the provider refuses", () => {
  it("is left out, with one alarm, and callers see nothing of it", async () => {
    await using it = await keyed(["KEY_A", "KEY_B"], [KEY_A]);
    const { gw, provider, log } = it;
    for (let asked = 0; asked < 6; asked++) {
      const answer = await ask(gw);
      expect([answer.status, (await answer.text()).includes("chat.completion")]).toEqual([200, true]);
    }
    expect(keysOf(provider)).toEqual([KEY_A, KEY_B, KEY_B, KEY_B, KEY_B, KEY_B, KEY_B]);

    const alarms = log.lines.filter(({ level }) => level === "error");
    expect(alarms).toMatchObject([{ fields: { upstream: "two", key: "env:KEY_A", status: 401, restMs: 300_000 } }]);
    expect(JSON.stringify(log.lines)).not.toMatch(/-key-of-the-provider/);
    expect(await metricOf(gw, 'cody_gateway_upstream_key_refusals_total{upstream="two"}')).toBe(1);
    expect(await metricOf(gw, 'cody_gateway_upstream_keys_resting{upstream="two"}')).toBe(1);
    expect(await metricOf(gw, 'cody_gateway_upstream_tries_total{upstream="two",outcome="key_refused"}')).toBe(1);
    expect(await metricOf(gw, 'cody_gateway_upstream_tries_total{upstream="two",outcome="answered"}')).toBe(6);
    const events = await eventsOf(gw, 6);
    expect(events.map(({ attempts }) => attempts)).toEqual([2, ...Array(5).fill(undefined)]);
    expect(events.every(({ charged, outcome }) => charged && outcome === "completed")).toBe(true);
  });

  it("is tried once with another one, no more", async () => {
    await using it = await keyed(["KEY_A", "KEY_B"], [KEY_A, KEY_B]);
    const answer = await ask(it.gw);
    expect(answer.status).toBe(502);
    expect(await answer.text()).not.toMatch(/key-of-the-provider|KEY_/);
    expect(keysOf(it.provider)).toEqual([KEY_A, KEY_B]);
    expect(await it.gw.event()).toMatchObject({ reason: "UPSTREAM_REFUSED_KEY", charged: false, attempts: 2 });
  });

  it("is used all the same where it is the only one, and taken back when it is accepted", async () => {
    await using it = await keyed(["KEY_A"]);
    const { gw, provider, log } = it;
    provider.script({ status: 401 }, 3);
    for (const status of [502, 502, 502, 200]) expect((await ask(gw)).status).toBe(status);
    expect(log.lines.filter(({ level }) => level === "error")).toHaveLength(1);
    expect(await metricOf(gw, 'cody_gateway_upstream_keys_resting{upstream="two"}')).toBe(0);
  });

  it("is left out for the one model that it may not use", async () => {
    await using it = await keyed(["KEY_A", "KEY_B"]);
    const { gw, provider } = it;
    provider.script(({ key, model }) => (key === KEY_A && model === "demo-one" ? { status: 403 } : undefined), 100);
    for (let asked = 0; asked < 4; asked++) expect((await ask(gw)).status).toBe(200);
    expect(keysOf(provider)).toEqual([KEY_A, KEY_B, KEY_B, KEY_B, KEY_B]);
    for (let asked = 0; asked < 2; asked++) expect((await ask(gw, { model: "demo-two" })).status).toBe(200);
    expect(new Set(keysOf(provider).slice(5))).toEqual(new Set([KEY_A, KEY_B]));
  });
});

describe("a key that is rate limited", () => {
  it("rests for its hint while another one serves", async () => {
    await using it = await keyed(["KEY_A", "KEY_B"]);
    const { gw, provider } = it;
    provider.script(withKey(KEY_A, { status: 429, retryAfter: "30" }), 100);
    for (let asked = 0; asked < 5; asked++) expect((await ask(gw)).status).toBe(200);
    expect(keysOf(provider)).toEqual([KEY_A, KEY_B, KEY_B, KEY_B, KEY_B, KEY_B]);
  });

  it("comes back when the hint is over", async () => {
    await using it = await keyed(["KEY_A", "KEY_B"]);
    const { gw, provider } = it;
    provider.script(withKey(KEY_A, { status: 429, retryAfter: "1" }));
    const startedAt = performance.now();
    while (!keysOf(provider).slice(1).includes(KEY_A)) expect((await ask(gw)).status).toBe(200);
    expect(performance.now() - startedAt).toBeGreaterThan(900);
  });

  it("is what callers are told of, with the hint, when there is no other", async () => {
    await using it = await keyed(["KEY_A", "KEY_B"]);
    it.provider.script({ status: 429, retryAfter: "7" }, 100);
    const answer = await ask(it.gw);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "7"]);
    expect(keysOf(it.provider)).toEqual([KEY_A, KEY_B]);
    expect(await it.gw.event()).toMatchObject({ reason: "UPSTREAM_RATE_LIMITED", upstreamStatus: 429, charged: false });
  });
});

describe("keys that are replaced while requests run", () => {
  let running: Keyed;
  beforeAll(async () => {
    running = await keyed(["KEY_A"]);
  });
  afterAll(() => running[Symbol.asyncDispose]());
  beforeEach(() => running.provider.reset());

  function replace(names: readonly string[], env: Readonly<Record<string, string>> = keys): readonly string[] {
    const file = JSON.stringify({ providers: [providerOf(running.provider, names)] });
    const loaded = loadConfig({ ...env, CODY_GATEWAY_CONFIG: "gateway.json" }, () => file);
    if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
    return running.gw.gateway.setUpstreamKeys(loaded.config.upstreams);
  }

  it("drops none: those under way end, those that come carry the new one", async () => {
    const { gw, provider } = running;
    provider.holdAll();
    const before = [ask(gw, { stream: true }), ask(gw)];
    await provider.nextCall();
    await provider.nextCall();
    expect(replace(["KEY_B"])).toEqual(["two"]);
    const after = [ask(gw), ask(gw, { stream: true })];
    await provider.nextCall();
    await provider.nextCall();
    provider.release();
    const texts = await Promise.all([...before, ...after].map(async (each) => (await each).text()));
    expect(texts.filter((text) => text.includes("[DONE]") || text.includes('"chat.completion"'))).toHaveLength(4);
    expect(keysOf(provider)).toEqual([KEY_A, KEY_A, KEY_B, KEY_B]);
  });

  it("drops none under load, however often", async () => {
    const { gw, provider } = running;
    replace(["KEY_A"]);
    const statuses = new Map<number, number>();
    let left = 300;
    const caller = async (): Promise<void> => {
      while (left-- > 0) {
        if (left % 50 === 0) replace([left % 100 === 0 ? "KEY_A" : "KEY_B"]);
        const answer = await ask(gw, { stream: left % 2 === 0 });
        await answer.text();
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 10 }, caller));
    expect([...statuses]).toEqual([[200, 300]]);
    expect(new Set(keysOf(provider))).toEqual(new Set([KEY_A, KEY_B]));
  });

  it("are the same where only their names differ", () => {
    replace(["KEY_A"]);
    expect(replace(["KEY_C"], { KEY_C: KEY_A })).toEqual([]);
  });
});

async function eventsOf(gw: TestGateway, count: number) {
  await gw.event(() => gw.events.length >= count);
  return gw.events;
}
