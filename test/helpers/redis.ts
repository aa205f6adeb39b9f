// Real Redis servers for tests, each in a folder of its own under the system's temporary one.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { ensureProgram } from "./debian.js";
import { diesWithUs } from "./dies-with-us.js";
import { freePort } from "./free-port.js";

/** A redis-server process. */
export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  /** `host:port`, as REDIS_ENDPOINT takes it. */
  readonly endpoint: string;
  readonly pid: number;
  /** A plain client, for what the test itself wants to know or do. */
  readonly client: Redis;
  /** Stops the process where it is; calls wait in the kernel. */
  freeze(): void;
  thaw(): void;
  /** As a crash: nothing is flushed. */
  kill(): Promise<void>;
  /** Ends it as an operator would. */
  stop(): Promise<void>;
  /** Starts it again on the same port and files. Resolves when it listens; it may still be loading. */
  start(...options: string[]): Promise<void>;
  /** Resolves when it answers commands. */
  ready(): Promise<void>;
}

/** Starts a server; `options` as on its command line. */
export async function startRedis(...options: string[]): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), "cody-redis-"));
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return await startServer({ port, folder, options: [...always, ...options] });
    } catch (error) {
      // Someone else may have taken the port meanwhile.
      if (attempt === 3) throw error;
    }
  }
}

/** With an append-only file, as advised for production. */
export function startDurableRedis(...options: string[]): Promise<RedisServer> {
  return startRedis("--appendonly", "yes", "--appendfsync", "everysec", ...options);
}

export async function startReplica(of: RedisServer, ...options: string[]): Promise<RedisServer> {
  const replica = await startRedis("--replicaof", "127.0.0.1", String(of.port), ...options);
  await until(async () => (await replica.client.info("replication")).includes("master_link_status:up"));
  return replica;
}

/** Resolves when `replica` has everything that `primary` has answered so far. What it has not is lost with the primary. */
export async function replicated(primary: RedisServer, replica: RedisServer): Promise<void> {
  const offset = await offsetOf(primary, "master_repl_offset");
  await until(async () => (await offsetOf(replica, "slave_repl_offset")) >= offset);
}

async function offsetOf({ client }: RedisServer, field: string): Promise<number> {
  const found = new RegExp(`^${field}:(\\d+)`, "m").exec(await client.info("replication"));
  return Number(found?.[1] ?? Number.NaN);
}

export interface RedisMonitor extends AsyncDisposable {
  /** What the server was told to do since, by whoever: the words of each command. */
  readonly commands: readonly (readonly string[])[];
}

/** Looks on. Over a connection of its own: the client's takes commands of others that come too soon for answers to its own. */
export async function startMonitor({ port }: Pick<RedisServer, "port">): Promise<RedisMonitor> {
  const commands: string[][] = [];
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  socket.on("error", () => undefined);
  let rest = "";
  const looking = new Promise<void>((resolve) => {
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "+OK") resolve();
        else commands.push([...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = ""]) => unquoted(word)));
      }
    });
  });
  socket.write("MONITOR\r\n");
  await looking;
  return { commands, [Symbol.asyncDispose]: async () => void socket.destroy() };
}

/** A word of MONITOR: what is not printable stands there as `\x00`, by bytes. */
function unquoted(word: string): string {
  const plain: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b" };
  const bytes = word.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex?: string, other = "") =>
    hex === undefined ? (plain[other] ?? other) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}

export interface RedisCluster extends AsyncDisposable {
  readonly endpoint: string;
  readonly nodes: readonly RedisServer[];
}

/** A Cluster of three servers that share the slots, without replicas. */
export async function startCluster(...options: string[]): Promise<RedisCluster> {
  const cluster = [
    "--cluster-enabled",
    "yes",
    // Long: a server that a test stops, or that the machine keeps waiting, is not taken for dead by the others.
    "--cluster-node-timeout",
    "30000",
    "--cluster-require-full-coverage",
    "no",
  ];
  const nodes = await Promise.all([1, 2, 3].map(() => startRedis(...cluster, ...options)));
  const bounds = [0, 5_461, 10_923, 16_384];
  await Promise.all(
    nodes.map(async ({ client }, index) => {
      await client.cluster("ADDSLOTSRANGE", bounds[index] ?? 0, (bounds[index + 1] ?? 0) - 1);
      await client.call("CLUSTER", "SET-CONFIG-EPOCH", String(index + 1));
    }),
  );
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]];
  await Promise.all(others.map(({ port }) => first.client.cluster("MEET", "127.0.0.1", port)));
  await Promise.all(
    nodes.map(({ client }) =>
      until(async () => /cluster_state:ok[^]*cluster_known_nodes:3/.test(await client.cluster("INFO"))),
    ),
  );
  return {
    endpoint: `redis+cluster://${nodes.map(({ endpoint }) => endpoint).join(",")}`,
    nodes,
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    },
  };
}

export interface RedisSentinel extends AsyncDisposable {
  readonly endpoint: string;
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  /** Makes the replica the primary, as after an accident. */
  failOver(): Promise<void>;
  /** Whether the Sentinel tells those who ask that the replica is the primary. */
  knowsNew(): Promise<boolean>;
  /** Whether the former primary follows the new one. */
  hasReplica(): Promise<boolean>;
}

/** A primary and a replica, both with these options, watched by one Sentinel. */
export async function startSentinel(...options: string[]): Promise<RedisSentinel> {
  const primary = await startRedis(...options);
  const replica = await startReplica(primary, ...options);
  const sentinel = await startRedis("--sentinel");
  await sentinel.client.call("SENTINEL", "MONITOR", "quota", "127.0.0.1", String(primary.port), "1");
  for (const [option, value] of [
    ["down-after-milliseconds", "500"],
    ["failover-timeout", "2000"],
  ] as const)
    await sentinel.client.call("SENTINEL", "SET", "quota", option, value);
  await until(async () =>
    JSON.stringify(await sentinel.client.call("SENTINEL", "REPLICAS", "quota")).includes("slave"),
  );
  return {
    endpoint: `redis+sentinel://${sentinel.endpoint}/quota`,
    primary,
    replica,
    async failOver() {
      await until(() =>
        sentinel.client.call("SENTINEL", "FAILOVER", "quota").then(
          () => true,
          () => false,
        ),
      );
      // Clients lose their connection when a server changes its role.
      const isPrimary = async () => (await replica.client.info("replication")).includes("role:master");
      await until(() => isPrimary().catch(() => false));
    },
    async knowsNew() {
      const address = await sentinel.client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "quota");
      return String(address) === `127.0.0.1,${replica.port}`;
    },
    hasReplica: async () => /slave0:[^\r]*state=online/.test(await replica.client.info("replication")),
    async [Symbol.asyncDispose]() {
      await Promise.all([sentinel, replica, primary].map((server) => server[Symbol.asyncDispose]()));
    },
  };
}

const always = [
  "--save",
  "",
  "--appendonly",
  "no",
  "--bind",
  "127.0.0.1",
  "--loglevel",
  "warning",
  "--enable-debug-command",
  "local",
  "--repl-diskless-sync-delay",
  "0",
];

interface ServerPlace {
  readonly port: number;
  readonly folder: string;
  readonly options: readonly string[];
}

async function startServer({ port, folder, options }: ServerPlace): Promise<RedisServer> {
  const program = await ensureProgram("redis-server", "redis-server");
  let child: ChildProcess | undefined;
  const client = new Redis({
    port,
    lazyConnect: true,
    retryStrategy: () => 20,
    // A command that got no answer fails: none is left waiting for a server that is gone.
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    // What a test says is meant for the server as it is then.
    autoResendUnfulfilledCommands: false,
  });
  client.on("error", () => undefined);

  async function start(...more: string[]): Promise<void> {
    const sentinel = options.includes("--sentinel");
    const given = sentinel ? ["--sentinel", "--bind", "127.0.0.1"] : [...options, ...more];
    // A Sentinel keeps what it knows in its configuration file, so it must have one.
    const file = sentinel ? [join(folder, "sentinel.conf")] : [];
    for (const path of file) await writeFile(path, "");
    child = spawn(program, [...file, "--port", String(port), "--dir", folder, ...given], { stdio: "ignore" });
    const spawned = child;
    diesWithUs(spawned);
    await until(() => listens(port, spawned));
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    // One that is frozen ends when it goes on.
    if (signal !== "SIGKILL") child.kill("SIGCONT");
    await ended;
  }

  const server: RedisServer = {
    port,
    endpoint: `127.0.0.1:${port}`,
    client,
    get pid() {
      return child?.pid ?? 0;
    },
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    start,
    ready: () => until(async () => (await client.ping().catch(() => "")) === "PONG"),
    async [Symbol.asyncDispose]() {
      client.disconnect();
      await end("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
  await start();
  await server.ready();
  return server;
}

/**
 * Asks again and again until the answer is yes: every 10 ms at first, then after a twentieth of the time that it took so far, as
 * who asks a process keeps it from what is waited for.
 */
export async function until(question: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  for (const startedAt = performance.now(); !(await question()); ) {
    const tookMs = performance.now() - startedAt;
    if (tookMs > timeoutMs) throw new Error(`not so after ${timeoutMs} ms: ${question.toString()}`);
    await sleep(Math.min(Math.max(10, tookMs / 20), 100));
  }
}

function listens(port: number, child: ChildProcess): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
