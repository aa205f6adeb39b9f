import { createGatewayClient, type GatewayClient, type GatewayClientOptions } from "../../src/client.js";
import { loadConfig } from "../../src/config.js";
import type { DemoUpstream } from "../../src/demo/upstream.js";
import { type Gateway, startGateway } from "../../src/gateway.js";
import type { Clock } from "../../src/lib/clock.js";
import type { Log } from "../../src/lib/log.js";
import { createTokenizer, type Tokenizer } from "../../src/models/tokenizer.js";
import { providers } from "../../src/providers/index.js";
import type { Provider } from "../../src/providers/provider.js";
import type { UsageEvent } from "../../src/usage/event.js";
import { silentLog } from "./log.js";
import { testUpstream } from "./upstream.js";

/** The token of the actor that every test gateway has. */
export const token = "test-token-of-the-acme-actor";

export interface TestGateway extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly url: string;
  /** Plays all providers. */
  readonly upstream: DemoUpstream;
  /** What the sink received. */
  readonly events: UsageEvent[];
  /** Forgets what went before: calls, scripts, and events of earlier requests, even such as are still to come. */
  reset(): void;
  /** The first event since `reset` that `matches`, received already or not. */
  event(matches?: (event: UsageEvent) => boolean): Promise<UsageEvent>;
  client(options?: Partial<GatewayClientOptions>): GatewayClient;
}

export interface TestGatewayOptions {
  /** `limits` and `models` of the actor, as the configuration file has them. */
  readonly actor?: object;
  readonly actors?: readonly object[];
  /** Further parts of the configuration file. */
  readonly file?: object | ((upstream: DemoUpstream) => object);
  readonly env?: Readonly<Record<string, string>> | ((upstream: DemoUpstream) => Readonly<Record<string, string>>);
  /** Providers beside those that come with the gateway. */
  readonly providers?: readonly Provider[];
  readonly log?: Log;
  readonly clock?: Clock;
  /** Default the one of all gateways of the process. */
  readonly tokenizer?: Tokenizer;
}

/** To start one takes half a second of a core. */
const sharedTokenizer = createTokenizer();

/** Nobody wakes who waits for it: time goes by, and no core is kept busy. */
const pause = new Int32Array(new SharedArrayBuffer(4));

/** A gateway on a free port, its providers played by the demo upstream, with one actor that has no limits unless given. */
export async function testGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const upstream = await testUpstream();
  const file = {
    actors: [
      {
        id: "acme",
        name: "Acme Inc",
        tokens: [{ ref: "env:ACME_TOKEN" }],
        limits: { chat_completions: [], code_completions: [] },
        models: { chat_completions: ["*"], code_completions: ["*"] },
        ...options.actor,
      },
      ...(options.actors ?? []),
    ],
    ...(typeof options.file === "function" ? options.file(upstream) : options.file),
  };
  const env = {
    CODY_GATEWAY_HOST: "127.0.0.1",
    PORT: "0",
    CODY_GATEWAY_CONFIG: "gateway.json",
    ACME_TOKEN: token,
    ANTHROPIC_API_KEY: "upstream-key-anthropic",
    CODY_GATEWAY_ANTHROPIC_BASE_URL: upstream.url,
    OPENAI_API_KEY: "upstream-key-openai",
    CODY_GATEWAY_OPENAI_BASE_URL: `${upstream.url}/v1`,
    GEMINI_API_KEY: "upstream-key-google",
    CODY_GATEWAY_GOOGLE_BASE_URL: upstream.baseUrls.google,
    FIREWORKS_API_KEY: "upstream-key-fireworks",
    CODY_GATEWAY_FIREWORKS_BASE_URL: upstream.baseUrls.fireworks,
    CODY_GATEWAY_ANTHROPIC_ALLOWED_MODELS: "claude-*,demo-*",
    CODY_GATEWAY_OPENAI_ALLOWED_MODELS: "gpt-*,demo-*",
    CODY_GATEWAY_GOOGLE_ALLOWED_MODELS: "gemini-*,demo-*",
    ...(typeof options.env === "function" ? options.env(upstream) : options.env),
  };
  const loaded = loadConfig(env, () => JSON.stringify(file));
  if ("problems" in loaded) {
    await upstream[Symbol.asyncDispose]();
    throw new Error(JSON.stringify(loaded.problems, null, 2));
  }

  const events: UsageEvent[] = [];
  const waiting = new Set<() => void>();
  let since = "";
  const sink = {
    name: "test",
    async send(batch: readonly UsageEvent[]): Promise<void> {
      events.push(...batch.filter(({ time }) => time >= since));
      for (const look of waiting) look();
    },
  };
  const gateway = await startGateway(loaded.config, {
    log: options.log ?? silentLog,
    version: "0.0.0-test",
    sinks: [sink],
    // Soon enough not to be waited for, late enough to bring along what must not come twice.
    ledger: { batchMs: 10 },
    tokenizer: options.tokenizer ?? sharedTokenizer,
    ...(options.clock && { clock: options.clock }),
    ...(options.providers && { providers: [...providers, ...options.providers] }),
  });

  return {
    gateway,
    url: gateway.url,
    upstream,
    events,
    reset() {
      upstream.reset();
      events.length = 0;
      // Times are told in milliseconds and may fall short by one: what begins from here on is told of as later than all before.
      const last = Date.now();
      since = new Date(last + 1).toISOString();
      while (Date.now() < last + 2) Atomics.wait(pause, 0, 0, 1);
    },
    event: (matches = () => true) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = events.find(matches);
          if (!found) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
    client: (given = {}) => createGatewayClient({ baseUrl: gateway.url, token, maxRetries: 0, ...given }),
    async [Symbol.asyncDispose]() {
      await gateway.drain({ delayMs: 0, timeoutMs: 0 });
      await upstream[Symbol.asyncDispose]();
    },
  };
}
