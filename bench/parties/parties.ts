// Who takes part: how each is started, and how a chat request is addressed to it.

import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type StreamShape, upstreamFiles } from "../harness/bodies.js";
import { buildFolder } from "../harness/build.js";
import { freePort, type Running, start } from "../harness/running.js";
import { requirePortkey, requireTools } from "../install.js";

/** Who can take part. `direct` is the upstream without anything in between; `gateway-redis` keeps its counts in Redis. */
export type PartyName = "direct" | "nginx" | "bare" | "gateway" | "gateway-redis" | "portkey" | "connect-echo";

/** A party that runs, and where chat requests for it go. */
export interface Party {
  readonly name: PartyName;
  readonly running: Running;
  readonly port: number;
  /** For HTTP/2 without TLS. */
  readonly h2cPort: number;
  readonly chatPath: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The access tokens of the gateway's actors, as `load/post.lua` makes them too. */
function actorToken(actor: number): string {
  return `bench-${String(actor).padStart(32, "0")}`;
}

/** Starts the upstream: on the load's core. */
export async function startUpstream(
  folder: string,
  shape: { answerBytes: number; stream: StreamShape },
): Promise<Running> {
  const port = await freePort();
  const args = [String(port), ...upstreamFiles(folder, shape.answerBytes, shape.stream)];
  return start({ name: "upstream", command: join(buildFolder, "upstream"), args, core: "load", port, folder });
}

/** Starts a Redis that keeps what it is told, as one for quotas should: on the load's core. */
export async function startRedis(folder: string): Promise<Running> {
  const port = await freePort();
  const command = requireTools(["redis-server"])["redis-server"];
  const settings = { port, bind: "127.0.0.1", dir: folder, save: "", appendonly: "yes", appendfsync: "everysec" };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return start({ name: "redis", command, args, core: "load", port, folder });
}

/** Starts a party, on the measured core, in front of the upstream. */
export async function startParty(name: PartyName, upstream: Running, surroundings: Surroundings): Promise<Party> {
  if (name === "direct") return party(name, upstream);
  return starters[name]({ ...surroundings, upstream: `http://127.0.0.1:${upstream.port}`, port: await freePort() });
}

/** Where and how parties are started. */
export interface Surroundings {
  readonly folder: string;
  readonly gatewayEntry: string;
  /** How many actors the gateway knows. Default 1. */
  readonly actors?: number;
  /** Where Redis listens, for who needs it. */
  readonly redisPort?: number;
  /** More of the gateway's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

interface Place extends Surroundings {
  /** The upstream's origin. */
  readonly upstream: string;
  readonly port: number;
}

const json = { "content-type": "application/json" };

function party(name: PartyName, running: Running, more: Partial<Party> = {}): Party {
  return {
    name,
    running,
    port: running.port,
    h2cPort: running.port,
    chatPath: "/v1/chat/completions",
    headers: { ...json, authorization: "Bearer sk-caller" },
    ...more,
  };
}

function startNode(
  name: PartyName,
  { port, folder }: Place,
  args: readonly string[],
  env: Record<string, string> = {},
) {
  return start({ name, command: process.execPath, args, env, core: "measured", port, folder, reports: true });
}

const starters: Readonly<Record<Exclude<PartyName, "direct">, (place: Place) => Promise<Party>>> = {
  nginx: async (place) => party("nginx", await startNginx(place)),

  async bare(place) {
    const program = join(buildFolder, "bench/parties/bare.js");
    return party("bare", await startNode("bare", place, [program, String(place.port), place.upstream]));
  },

  async "connect-echo"(place) {
    const program = join(buildFolder, "bench/parties/connect-echo.js");
    const h2cPort = await freePort();
    const running = await startNode("connect-echo", place, [program, String(place.port), String(h2cPort)]);
    return party("connect-echo", running, { h2cPort });
  },

  async portkey(place) {
    const args = [requirePortkey(), "--headless", `--port=${place.port}`];
    const running = await startNode("portkey", place, args, { NODE_ENV: "production" });
    const route = { "x-portkey-provider": "openai", "x-portkey-custom-host": `${place.upstream}/v1` };
    return party("portkey", running, { headers: { ...json, ...route, authorization: "Bearer sk-caller" } });
  },

  gateway: (place) => startGateway("gateway", place),

  "gateway-redis": ({ env, redisPort, ...place }) =>
    startGateway("gateway-redis", { ...place, env: { ...env, REDIS_ENDPOINT: `127.0.0.1:${redisPort}` } }),
};

async function startGateway(name: PartyName, place: Place): Promise<Party> {
  const env = { ...gatewayEnvironment(place), ...place.env };
  const running = await startNode(name, place, [place.gatewayEntry, "serve"], env);
  const headers = { ...json, authorization: `Bearer ${actorToken(0)}` };
  return party(name, running, { chatPath: "/openai/v1/chat/completions", headers });
}

/** Everything on that a production gateway has on: authentication, limits, usage events, metrics, logs at info. */
function gatewayEnvironment({ folder, port, upstream, actors = 1 }: Place): Record<string, string> {
  const config = join(folder, "gateway.json");
  const made = Array.from({ length: actors }, (_, actor) => ({
    id: `bench-${actor}`,
    name: "Bench",
    tokens: [{ sha256: createHash("sha256").update(actorToken(actor)).digest("hex") }],
    limits: {
      chat_completions: [
        { limit: 1_000_000_000, per: "24h" },
        { limit: 1_000_000_000_000, unit: "tokens", per: "30d" },
        { inFlight: 100_000 },
      ],
    },
    models: { chat_completions: ["*"] },
  }));
  writeFileSync(config, JSON.stringify({ actors: made }));
  return {
    NODE_ENV: "production",
    PORT: String(port),
    CODY_GATEWAY_HOST: "127.0.0.1",
    CODY_GATEWAY_CONFIG: config,
    CODY_GATEWAY_DIAGNOSTICS_SECRET: "bench",
    CODY_GATEWAY_OPENAI_ACCESS_TOKEN: "sk-upstream",
    CODY_GATEWAY_OPENAI_BASE_URL: `${upstream}/v1`,
    CODY_GATEWAY_OPENAI_ALLOWED_MODELS: "*",
    CODY_GATEWAY_EVENTS_SINKS: `file:${join(folder, "events.jsonl")}`,
    CODY_GATEWAY_LOG_LEVEL: "info",
  };
}

async function startNginx({ upstream, port, folder }: Place): Promise<Running> {
  const home = join(folder, "nginx");
  mkdirSync(home, { recursive: true });
  const config = join(home, "nginx.conf");
  const user = process.getuid?.() === 0 ? "user root;" : "";
  writeFileSync(
    config,
    `${user} daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid ${home}/pid; error_log ${home}/error.log;
events { worker_connections 10000; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 120s;
  client_max_body_size 64m; client_body_buffer_size 1m;
  client_body_temp_path ${home}/body; proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/f; uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s;
  upstream up { server ${new URL(upstream).host}; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://up; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Connection ""; proxy_set_header Authorization "Bearer sk-upstream";
    }
  }
}
`,
  );
  const { nginx } = requireTools(["nginx"]);
  return start({
    name: "nginx",
    command: nginx,
    args: ["-p", home, "-c", config],
    core: "measured",
    port,
    folder,
    byChildren: true,
  });
}
