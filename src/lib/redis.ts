// The only place that knows ioredis: how a connection is made, kept, and written to.

import { Cluster, type ClusterOptions, Command, Redis, type RedisOptions } from "ioredis";
import type { Log } from "./log.js";
import { parseRedisEndpoint, type RedisEndpoint } from "./redis-endpoint.js";
import { encode, textOf } from "./redis-protocol.js";
import { watchSilence } from "./redis-silence.js";
import { createVoice, type Voice } from "./redis-voice.js";

/** A connection to Redis for one role. Calls with different patience must not share one: they wait for each other. */
export interface RedisConnection {
  readonly kind: RedisEndpoint["kind"];
  /** For commands that come with no promise about time. */
  readonly client: Redis | Cluster;
  /** The server that has the slot; the same name for all but in a Cluster. Changes when a Cluster moves the slot. */
  serverOf(slot: number): string;
  /**
   * Sends a command to the server of its first key. Never waits for a connection, never sends twice, and does not give up by
   * itself: a caller who does must know that the command may still run.
   */
  send(server: string, name: string, args: string[]): Promise<unknown>;
  /** Makes a server know scripts, so that they can be sent by their hash. Rejects when it is away. */
  load(server: string, scripts: readonly string[]): Promise<void>;
  /** What INFO says of every server that commands are sent to. Rejects when one is away. */
  infos(): Promise<readonly { readonly server: string; readonly info: string }[]>;
  /** Calls back each time a server can be asked, also after a connection was lost. */
  onReady(listener: (server: string) => void): void;
  close(): Promise<void>;
}

/** What a connection is for; `CLIENT LIST` shows it. */
export type RedisRole =
  | "quota"
  | "actors"
  | "messages"
  | "outbox"
  | "events"
  | "admin"
  | "totals"
  | "flagged"
  | "alerts";

export interface RedisParts {
  readonly log?: Pick<Log, "info" | "warn">;
}

export interface RedisConnectionOptions {
  /** How long a command is waited for. What is sent by `send` has a bound of its own. Default 400. */
  readonly commandTimeoutMs?: number;
}

/** How long is waited for a connection. */
const connectTimeoutMs = 500;
/**
 * Longest wait between two attempts to connect. With the time that an attempt may take it stays under a second: that is how
 * soon service must be normal once Redis is back.
 */
const maxReconnectMs = 250;
const jitterMs = 100;

/** Connects, and keeps connecting. Throws when `endpoint` is malformed, never because Redis is away. */
export function connectRedis(
  endpoint: string,
  role: RedisRole,
  { log }: RedisParts = {},
  options: RedisConnectionOptions = {},
): RedisConnection {
  const parsed = parseRedisEndpoint(endpoint);
  const voice = createVoice(role, log);
  const each = redisOptions(parsed, role, options);
  return parsed.kind === "cluster" ? connectCluster(parsed, each, voice) : connectServer(parsed, each, voice);
}

type ServerOptions = ReturnType<typeof redisOptions>;

/** What every connection to a server has in common. */
export function redisOptions(
  { username, password, db, tls }: RedisEndpoint,
  role: RedisRole,
  { commandTimeoutMs = 400 }: RedisConnectionOptions = {},
) {
  return {
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    // A command that waits for a connection, or is sent again after one broke, runs when nobody expects it any more.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // Nobody would hear of it when it fails, but as an exception that ends the process. Who listens asks again.
    autoResubscribe: false,
    retryStrategy,
    // A replica that was promoted, or a server that was demoted: ask again who is who. The command itself is not repeated.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    enableReadyCheck: true,
    maxLoadingRetryTime: 250,
    // Slower here: half the rate of the plain connection, where `send` puts what comes together into one write.
    enableAutoPipelining: false,
    keepAlive: 5_000,
    noDelay: true,
    connectionName: `cody-gateway:${role}`,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(db !== undefined && { db }),
    ...(tls && { tls: {} }),
  } satisfies RedisOptions;
}

function retryStrategy(attempt: number): number {
  return Math.min(50 * 2 ** (attempt - 1), maxReconnectMs) + Math.random() * jitterMs;
}

function connectServer(endpoint: RedisEndpoint, each: ServerOptions, voice: Voice): RedisConnection {
  const { host = "", port = 0 } = endpoint.servers[0] ?? {};
  const server = endpoint.name ?? `${host}:${port}`;
  const where = endpoint.kind === "sentinel" ? sentinelOptions(endpoint) : { host, port };
  const client = new Redis({ ...each, ...where });
  client.on("error", (error: Error) => voice.failed(server, error));
  client.on("ready", () => voice.ready(server));
  let silence = watchSilence(client);
  let isClosing = false;
  // With Sentinels it may end by itself: when they tell of a failover while it waits for them to say who is primary now.
  client.on("end", () => {
    silence.stop();
    if (!isClosing) setTimeout(goOn, retryStrategy(1)).unref();
  });
  const write = createWriter(client);

  function goOn(): void {
    if (isClosing) return;
    silence = watchSilence(client);
    // What goes wrong is told as an error of the client, too.
    client.connect().catch(() => undefined);
  }

  return {
    kind: endpoint.kind,
    client,
    serverOf: () => server,
    send: (_, name, args) => write(name, args),
    load: (_, scripts) => load(client, scripts),
    infos: async () => [{ server, info: await client.info() }],
    onReady(listener) {
      client.on("ready", () => listener(server));
      if (client.status === "ready") listener(server);
    },
    close() {
      isClosing = true;
      silence.stop();
      return closed(client);
    },
  };
}

function sentinelOptions({ servers, name = "", tls }: RedisEndpoint) {
  return {
    sentinels: [...servers],
    name,
    sentinelRetryStrategy: retryStrategy,
    sentinelCommandTimeout: connectTimeoutMs,
    // Hears of a failover from the Sentinels instead of finding a server that does not answer.
    failoverDetector: true,
    ...(tls && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
  } satisfies RedisOptions;
}

function connectCluster(endpoint: RedisEndpoint, each: ServerOptions, voice: Voice): RedisConnection {
  const options = {
    redisOptions: each,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryStrategy,
    // A caller does not wait for these: the breaker asks again soon.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 10,
    maxRedirections: 5,
    slotsRefreshTimeout: connectTimeoutMs,
    slotsRefreshInterval: 5_000,
  } satisfies ClusterOptions;
  const cluster = new Cluster([...endpoint.servers], options);
  const nodes = new Map<string, Redis>();
  const listeners: ((server: string) => void)[] = [];
  const batch = createBatcher();

  cluster.on("+node", (node: Redis) => {
    const server = nameOf(node);
    nodes.set(server, node);
    watchSilence(node);
    node.on("ready", () => {
      voice.ready(server);
      for (const listener of listeners) listener(server);
    });
  });
  cluster.on("-node", (node: Redis) => {
    if (nodes.get(nameOf(node)) === node) nodes.delete(nameOf(node));
  });
  cluster.on("ready", () => {
    // Nodes are connected to when they are asked: those that hold slots, now rather than at the first request.
    for (const server of new Set(cluster.slots.map(([first]) => first)))
      if (server !== undefined) for (const listener of listeners) listener(server);
  });
  cluster.on("error", (error: Error) => voice.failed("cluster", error));
  cluster.on("node error", (error: Error, server: string) => voice.failed(server, error));

  return {
    kind: endpoint.kind,
    client: cluster,
    serverOf: (slot) => cluster.slots[slot]?.[0] ?? "cluster",
    send(server, name, args) {
      const node = nodes.get(server);
      if (node !== undefined) batch(node);
      return dispatch(cluster, name, args);
    },
    async load(server, scripts) {
      const node = nodes.get(server);
      if (node?.status === "ready") await load(node, scripts);
    },
    infos: () =>
      Promise.all(cluster.nodes("master").map(async (node) => ({ server: nameOf(node), info: await node.info() }))),
    onReady(listener) {
      listeners.push(listener);
      for (const [server, node] of nodes) if (node.status === "ready") listener(server);
    },
    close: () => closed(cluster),
  };
}

async function load(client: Redis, scripts: readonly string[]): Promise<void> {
  await Promise.all(scripts.map((text) => client.script("LOAD", text)));
}

/** As a Cluster names its nodes. */
function nameOf({ options }: Redis): string {
  return `${options.host}:${options.port}`;
}

function dispatch(client: Redis | Cluster, name: string, args: string[]): Promise<unknown> {
  const command = new Command(name, args, { replyEncoding: "utf8" });
  // Who sends it has a clock of its own: this one would also fire for answers that came while the process was busy.
  command.setTimeout = () => undefined;
  return client.sendCommand(command) as Promise<unknown>;
}

/** Writes together what is sent together: one system call instead of one a command. Measured with `bench/quota-redis.ts`. */
function createBatcher(): (client: Redis) => void {
  let corked: Redis["stream"] | undefined;
  return ({ stream, status }) => {
    if (status !== "ready" || corked === stream) return;
    corked = stream;
    stream.cork();
    process.nextTick(() => {
      if (corked === stream) corked = undefined;
      stream.uncork();
    });
  };
}

/**
 * Sends commands to one server, what comes together as one text: ioredis, asked for each, writes them one by one, which takes
 * half of what a command costs. What others send over the connection stays behind what was sent here before.
 */
function createWriter(client: Redis): (name: string, args: readonly string[]) => Promise<unknown> {
  let waiting = "";
  let stream: Redis["stream"] | undefined;

  function flush(): void {
    const text = waiting;
    waiting = "";
    if (text !== "" && stream?.writable) stream.write(text);
    stream = undefined;
  }

  const sendOne = client.sendCommand.bind(client);
  client.sendCommand = (command, into) => {
    flush();
    return sendOne(command, into);
  };

  return (name, args) =>
    new Promise((resolve, reject) => {
      if (client.status !== "ready" || !client.stream.writable) return reject(new Error("not connected"));
      if (stream !== client.stream) {
        flush();
        stream = client.stream;
        process.nextTick(flush);
      }
      const command = { name, args: nothing, resolve: (answer: unknown) => resolve(textOf(answer)), reject };
      client.commandQueue.push({ command, stream, select: client.condition?.select ?? 0 });
      waiting += encode(name, args);
    });
}

/** What ioredis would tell of a command in its errors: arguments do not belong there. */
const nothing: [] = [];

/** Between two attempts to connect there is nothing to close, and nothing that tells of its end. */
function closed(client: Redis | Cluster): Promise<void> {
  const idle = client.status === "end" || client.status === "reconnecting";
  return new Promise((resolve) => {
    client.once("end", () => resolve());
    client.disconnect();
    if (idle) resolve();
  });
}
