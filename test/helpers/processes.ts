// Gateways as processes of their own, and calls to them.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Dispatcher, Pool } from "undici";
import { createGatewayClient, type GatewayClient, type GatewayClientOptions } from "../../src/client.js";
import type { DemoUpstream, DemoUpstreamOptions } from "../../src/demo/upstream.js";
import type { UsageEvent } from "../../src/usage/event.js";
import { diesWithUs } from "./dies-with-us.js";
import { freePort } from "./free-port.js";
import { gatewayFile } from "./process-files.js";
import { until } from "./redis.js";
import { testUpstream } from "./upstream.js";

/** A gateway that was started as an operator would: `cody-gateway serve`, its settings in the environment. */
export interface GatewayProcess extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  /** Standard error so far: warnings and errors, one JSON object a line. */
  readonly log: string;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  signal(name: NodeJS.Signals): void;
  /** Resolves when `/readyz` says so. */
  ready(): Promise<void>;
  /** One chat completion, over connections that are kept. */
  chat(actor: string, options?: ChatOptions): Promise<Answer>;
  /** GET of one of its paths. */
  get(path: string, actor?: string): Promise<Answer>;
  /** Sum of all series of a metric whose labels contain `labels`; undefined when there is none. */
  metric(name: string, labels?: string): Promise<number | undefined>;
  client(actor: string, options?: Partial<GatewayClientOptions>): GatewayClient;
  /** What its sink, a file, got so far. */
  events(): Promise<readonly UsageEvent[]>;
}

export interface ChatOptions {
  readonly prompt?: string;
  readonly stream?: boolean;
  /** As the caller names the request. */
  readonly requestId?: string;
  readonly signal?: AbortSignal;
  /** Which of the actor's users asks. Default `1`. */
  readonly user?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  readonly tookMs: number;
}

/** Gateways with the same actors and the same upstream. */
export interface Fleet extends AsyncDisposable {
  readonly upstream: DemoUpstream;
  /** Those that were started, in order, ended ones too. */
  readonly gateways: readonly GatewayProcess[];
  /** Starts one more; `env` is added to that of the fleet. */
  start(env?: Readonly<Record<string, string>>, options?: { readonly waits?: boolean }): Promise<GatewayProcess>;
  /** What all sinks got so far. */
  events(): Promise<readonly UsageEvent[]>;
}

export interface FleetOptions {
  /** REDIS_ENDPOINT of all. Default none. */
  readonly redis?: string;
  /** Gateways started at once. Default 1. */
  readonly gateways?: number;
  /** Limits of chat completions by actor, as the configuration file has them. */
  readonly actors: Readonly<Record<string, readonly object[]>>;
  /** Further parts of the configuration file. */
  readonly file?: object;
  readonly env?: Readonly<Record<string, string>>;
  readonly upstream?: DemoUpstreamOptions;
}

/** Most of a second where nothing else is going on. */
const startsWithinMs = 120_000;

/** The token of an actor of a fleet. */
export function tokenOf(actor: string): string {
  return `token-of-the-actor-${actor}`;
}

/** The end user as the upstream sees it for all calls that `chat` makes for an actor. */
export function endUserOf(actor: string): string {
  return `${actor}:1`;
}

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const folder = await mkdtemp(join(tmpdir(), "cody-fleet-"));
  const upstream = await testUpstream(options.upstream);
  const gateways: GatewayProcess[] = [];
  await writeFile(join(folder, "gateway.json"), JSON.stringify(configOf(options)));

  const fleet: Fleet = {
    upstream,
    gateways,
    async start(env = {}, { waits = true } = {}) {
      const port = await freePort();
      const sink = join(folder, `events-${gateways.length}.jsonl`);
      const gateway = startProcess(port, sink, {
        PATH: process.env.PATH ?? "",
        PORT: String(port),
        CODY_GATEWAY_HOST: "127.0.0.1",
        CODY_GATEWAY_CONFIG: join(folder, "gateway.json"),
        CODY_GATEWAY_LOG_LEVEL: "warn",
        CODY_GATEWAY_DRAIN_DELAY: "0s",
        CODY_GATEWAY_DRAIN_TIMEOUT: "2s",
        CODY_GATEWAY_EVENTS_SINKS: `file:${sink}`,
        CODY_GATEWAY_TOKEN_PEPPER: "a pepper that all gateways of the tests share",
        ...(options.redis !== undefined && { REDIS_ENDPOINT: options.redis }),
        OPENAI_API_KEY: "upstream-key-openai",
        CODY_GATEWAY_OPENAI_BASE_URL: `${upstream.url}/v1`,
        CODY_GATEWAY_OPENAI_ALLOWED_MODELS: "gpt-*,demo-*",
        ...options.env,
        ...env,
      });
      gateways.push(gateway);
      if (waits) await gateway.ready();
      return gateway;
    },
    events: async () => (await Promise.all(gateways.map((gateway) => gateway.events()))).flat(),
    async [Symbol.asyncDispose]() {
      await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
      await upstream[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await Promise.all(Array.from({ length: options.gateways ?? 1 }, () => fleet.start()));
  } catch (error) {
    await fleet[Symbol.asyncDispose]();
    throw error;
  }
  return fleet;
}

function configOf({ actors, file }: FleetOptions): object {
  return {
    actors: Object.entries(actors).map(([id, limits]) => ({
      id,
      tokens: [{ sha256: createHash("sha256").update(tokenOf(id)).digest("hex") }],
      limits: { chat_completions: limits },
      models: { chat_completions: ["*"] },
    })),
    ...file,
  };
}

function startProcess(port: number, sink: string, env: Record<string, string>): GatewayProcess {
  const child = spawn(process.execPath, [gatewayFile, "serve"], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  diesWithUs(child);
  let log = "";
  child.stderr.on("data", (data: Buffer) => (log += data.toString()));
  const ended = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null);
  const url = `http://127.0.0.1:${port}`;
  const pool = new Pool(url, { connections: 128, pipelining: 1 });
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null;

  async function call(path: string, init: Partial<Dispatcher.RequestOptions> = {}): Promise<Answer> {
    const start = performance.now();
    const answer = await pool.request({ path, method: "GET", ...init });
    const body = await answer.body.text();
    return { status: answer.statusCode, headers: answer.headers, body, tookMs: performance.now() - start };
  }

  const gateway: GatewayProcess = {
    pid: child.pid ?? 0,
    port,
    url,
    get log() {
      return log;
    },
    ended,
    signal: (name) => void child.kill(name),
    ready: () =>
      until(async () => {
        if (!isRunning()) throw new Error(`the gateway ended: ${log}`);
        return (await gateway.get("/readyz").catch(() => undefined))?.status === 200;
      }, startsWithinMs),
    chat: (actor, { prompt = "hello", stream = false, signal, requestId, user = "1" } = {}) =>
      call("/openai/v1/chat/completions", {
        method: "POST",
        headers: {
          authorization: `Bearer ${tokenOf(actor)}`,
          "x-sourcegraph-actor-uid": user,
          ...(requestId !== undefined && { "x-request-id": requestId }),
        },
        body: JSON.stringify({ model: "gpt-4o", stream, messages: [{ role: "user", content: prompt }] }),
        ...(signal && { signal }),
      }),
    get: (path, actor) =>
      call(path, actor === undefined ? {} : { headers: { authorization: `Bearer ${tokenOf(actor)}` } }),
    async metric(name, labels = "") {
      const { body } = await gateway.get("/metrics");
      const lines = body.split("\n").filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)));
      const values = lines.filter((line) => line.includes(labels)).map((line) => Number(line.split(" ").at(-1)));
      return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
    },
    client: (actor, given = {}) =>
      createGatewayClient({ baseUrl: url, token: tokenOf(actor), maxRetries: 0, ...given }),
    async events() {
      const text = await readFile(sink, "utf8").catch(() => "");
      // A process that was killed may have left half a line.
      return text
        .split("\n")
        .filter((line) => line.endsWith("}"))
        .map((line) => JSON.parse(line) as UsageEvent);
    },
    async [Symbol.asyncDispose]() {
      await pool.destroy();
      if (!isRunning()) return;
      child.kill("SIGTERM");
      child.kill("SIGCONT");
      // Twice: what is under way is not waited for.
      setTimeout(() => child.kill("SIGTERM"), 50).unref();
      await Promise.race([ended, sleep(5_000, undefined, { ref: false })]);
      if (!isRunning()) return;
      child.kill("SIGKILL");
      await ended;
    },
  };
  return gateway;
}

/** What an actor has used of its only window, and its slots in use, as the gateway tells. Rejects while the store is away. */
export async function usageOf(gateway: GatewayProcess, actor: string): Promise<{ used: number; inFlight: number }> {
  const { features } = await gateway.client(actor).limits.getLimits({});
  return { used: Number(features[0]?.rateLimit?.used ?? 0n), inFlight: features[0]?.inFlight ?? 0 };
}
