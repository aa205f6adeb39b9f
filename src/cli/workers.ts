// Several processes that share the port (`CODY_GATEWAY_WORKERS`): one keeps them running and passes signals on.

import cluster, { type Worker } from "node:cluster";
import type { Log } from "../lib/log.js";
import { exitCodes } from "./exit-codes.js";
import type { Io } from "./io.js";

/** A worker that ended by itself is replaced after this time, doubled for each one that ends before it has served. */
const restartMs = 200;
const maxRestartMs = 10_000;
/** How long the others' metrics are waited for. */
const gatherMs = 1_000;

/** Messages between the processes. */
type Message =
  | { readonly kind: "gather"; readonly id: number }
  | { readonly kind: "tell"; readonly id: number }
  | { readonly kind: "told"; readonly id: number; readonly text: string }
  | { readonly kind: "gathered"; readonly id: number; readonly texts: readonly string[] };

/** Whether this process is to run workers instead of serving. */
export function isPrimary(count: number): boolean {
  return count > 1 && cluster.isPrimary;
}

/** Runs `count` workers until a signal ends them; resolves to the exit code. */
export function runWorkers(parts: { count: number; log: Log; io: Pick<Io, "onSignal" | "stderr"> }): Promise<number> {
  const { count, log, io } = parts;
  let stopping = false;
  let failures = 0;
  let code: number = exitCodes.done;

  const start = (): void => {
    const worker = cluster.fork();
    worker.once("listening", () => {
      failures = 0;
    });
    worker.on("message", (message: Message) => relayMessage(worker, message));
  };

  return new Promise((resolve) => {
    const stop = io.onSignal((signal) => {
      if (signal !== "SIGHUP") stopping = true;
      // Ctrl-C reaches the workers by itself.
      if (signal === "SIGINT" && io.stderr.isTTY) return;
      for (const worker of workers()) worker.process.kill(signal);
    });
    cluster.on("exit", (worker, exitCode, signal) => {
      if (stopping) {
        if (exitCode !== 0) code = exitCodes.failed;
      } else if (exitCode === exitCodes.configuration) {
        // It has said what is wrong, and the next one would say it again.
        stopping = true;
        code = exitCode;
        for (const other of workers()) other.process.kill("SIGTERM");
      } else {
        const waitMs = Math.min(restartMs * 2 ** failures++, maxRestartMs);
        log.error({ pid: worker.process.pid, exitCode, signal, waitMs }, "worker ended, another one is started");
        setTimeout(() => stopping || start(), waitMs);
      }
      if (stopping && workers().length === 0) {
        stop();
        resolve(code);
      }
    });
    for (let i = 0; i < count; i++) start();
  });
}

/** Whether this process is one of several that serve. */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/** In a worker: how to ask all workers, this one among them, for their metrics. `own` renders this one's. */
export function gatherFromWorkers(own: () => Promise<string>): () => Promise<readonly string[]> {
  let ids = 0;
  const waiting = new Map<number, (texts: readonly string[]) => void>();
  process.on("message", (message: Message) => {
    if (message.kind === "tell") void answer(message.id);
    if (message.kind === "gathered") waiting.get(message.id)?.(message.texts);
  });
  const answer = async (id: number): Promise<void> => {
    process.send?.({ kind: "told", id, text: await own() } satisfies Message);
  };
  return async () => {
    const id = ++ids;
    const texts = await new Promise<readonly string[]>((resolve) => {
      waiting.set(id, resolve);
      process.send?.({ kind: "gather", id } satisfies Message);
    });
    waiting.delete(id);
    return texts;
  };
}

const gatherings = new Map<
  number,
  { asker: Worker; id: number; texts: string[]; missing: Set<number>; timer: NodeJS.Timeout }
>();
let lastGathering = 0;

/** In the primary: asks every worker for one that wants to know, and sends it what came in time. */
function relayMessage(worker: Worker, message: Message): void {
  if (message.kind === "gather") {
    const number = ++lastGathering;
    const missing = new Set(workers().map(({ id }) => id));
    const timer = setTimeout(() => finish(number), gatherMs);
    gatherings.set(number, { asker: worker, id: message.id, texts: [], missing, timer });
    for (const each of workers()) each.send({ kind: "tell", id: number } satisfies Message);
  } else if (message.kind === "told") {
    const gathering = gatherings.get(message.id);
    if (!gathering) return;
    gathering.texts.push(message.text);
    gathering.missing.delete(worker.id);
    if (gathering.missing.size === 0) finish(message.id);
  }
}

function finish(number: number): void {
  const gathering = gatherings.get(number);
  if (!gathering) return;
  gatherings.delete(number);
  clearTimeout(gathering.timer);
  const { asker, id, texts } = gathering;
  if (asker.isConnected()) asker.send({ kind: "gathered", id, texts } satisfies Message);
}

function workers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
}
