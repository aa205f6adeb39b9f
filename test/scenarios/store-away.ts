// A gateway whose Redis is away in one way or another, and how long its callers wait meanwhile.

import { setTimeout as sleep } from "node:timers/promises";
import { adminTokens } from "../helpers/admin.js";
import { type BlackHole, startBlackHole } from "../helpers/black-hole.js";
import { type Answer, type Fleet, type FleetOptions, type GatewayProcess, startFleet } from "../helpers/processes.js";
import { type RedisServer, replicated, startRedis, startReplica, until } from "../helpers/redis.js";
import { startTcpProxy, type TcpProxy } from "../helpers/tcp-proxy.js";

/** Gateways that reach Redis through a proxy. The actor `acme` has a wide limit, `free` none: it never needs Redis. */
export interface Stage extends AsyncDisposable {
  readonly redis: RedisServer;
  /** Another server takes the place of `redis`. */
  succeed(by: RedisServer): void;
  readonly proxy: TcpProxy;
  readonly fleet: Fleet;
  readonly gateway: GatewayProcess;
}

const durable = ["--appendonly", "yes", "--appendfsync", "always"];

export async function stageAway(options: Partial<FleetOptions> = {}): Promise<Stage> {
  let redis = await startRedis(...durable);
  const servers = [redis];
  const proxy = await startTcpProxy(redis.port);
  const fleet = await startFleet({
    redis: proxy.endpoint,
    ...options,
    actors: { acme: [{ limit: 1_000_000, per: "24h" }], free: [], ...options.actors },
    env: { CODY_GATEWAY_ADMIN_TOKENS: adminTokens, ...options.env },
  });
  const [gateway] = fleet.gateways as [GatewayProcess];
  // Warm: what the first request of a process costs is no answer of Redis.
  await Promise.all(fleet.gateways.flatMap((each) => [each.chat("acme"), each.chat("free")]));
  return {
    get redis() {
      return redis;
    },
    succeed(by) {
      redis = by;
      servers.push(by);
    },
    proxy,
    fleet,
    gateway,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    },
  };
}

/** One way for Redis to be away. */
export interface Fault {
  readonly name: string;
  /** What a gateway gets over by itself, while it lasts. */
  readonly passes?: true;
  /** Resolves, once Redis is away, to what brings it back; that resolves when Redis is there. */
  begin(on: Stage): Promise<() => Promise<unknown>>;
}

export const faults: readonly Fault[] = [
  {
    name: "stopped in its tracks",
    async begin({ redis }) {
      redis.freeze();
      return async () => redis.thaw();
    },
  },
  {
    name: "refusing connections",
    async begin({ proxy }) {
      await proxy.refuse();
      return () => proxy.accept();
    },
  },
  {
    name: "behind a network that swallows everything, attempts to connect too",
    async begin({ proxy }) {
      proxy.pass("none");
      proxy.leave();
      const hole: BlackHole = await startBlackHole(proxy.port);
      return async () => {
        await hole[Symbol.asyncDispose]();
        proxy.reset();
        proxy.pass("both");
        await proxy.accept();
      };
    },
  },
  {
    name: "at the end of a connection that is open on one side only",
    passes: true,
    async begin({ proxy }) {
      proxy.pass("none", { newToo: false });
      return async () => undefined;
    },
  },
  {
    name: "accepting connections and saying nothing",
    async begin({ proxy }) {
      proxy.pass("none");
      proxy.reset();
      return async () => {
        proxy.pass("both");
        proxy.reset();
      };
    },
  },
  {
    name: "slower than it is waited for",
    async begin({ proxy }) {
      proxy.delay(600);
      return async () => proxy.delay(0);
    },
  },
  {
    name: "crashed and started again",
    async begin({ redis }) {
      await redis.kill();
      return async () => {
        await redis.start();
        await redis.ready();
      };
    },
  },
  {
    name: "a replica that is to take the place of a server that died",
    async begin(on) {
      const primary = on.redis;
      const replica = await startReplica(primary, ...durable);
      on.succeed(replica);
      await replicated(primary, replica);
      on.proxy.leadTo(replica.port);
      await primary.kill();
      return () => replica.client.replicaof("NO", "ONE");
    },
  },
];

/** What was answered, and how long both actors waited at the same moments. */
export interface Answered {
  readonly limited: readonly Answer[];
  readonly free: readonly Answer[];
}

/** Every `everyMs` one request of each actor, for so long, whether or not others are answered. */
export async function steadily(gateway: GatewayProcess, forMs: number, everyMs = 20): Promise<Answered> {
  const limited: Promise<Answer>[] = [];
  const free: Promise<Answer>[] = [];
  for (const end = performance.now() + forMs; performance.now() < end; await sleep(everyMs)) {
    limited.push(gateway.chat("acme"));
    free.push(gateway.chat("free"));
  }
  return { limited: await Promise.all(limited), free: await Promise.all(free) };
}

/** How long it takes until a request is served, and how many were not before. */
export async function untilServed(gateway: GatewayProcess): Promise<{ tookMs: number; refused: number }> {
  const start = performance.now();
  let refused = -1;
  await until(async () => {
    refused++;
    return (await gateway.chat("acme")).status === 200;
  });
  return { tookMs: performance.now() - start, refused };
}

/** The wait that so large a share of the answers did not exceed. */
export function waitOf(answers: readonly Answer[], share: number): number {
  const waits = answers.map(({ tookMs }) => tookMs).toSorted((a, b) => a - b);
  return waits[Math.min(waits.length - 1, Math.floor(share * waits.length))] ?? Number.NaN;
}
