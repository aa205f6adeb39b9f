// The load generators, each run once: what to send, and what came of it.

import { createReadStream, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { requireTools } from "../install.js";
import { buildFolder } from "./build.js";
import { run } from "./running.js";

/** One HTTP request, to be sent over and over. */
export interface Request {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** What a load of whole answers measured. Times in microseconds. */
export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly errors: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** What a load of streams measured. Times in microseconds. */
export interface StreamsResult {
  readonly streams: number;
  readonly events: number;
  readonly errors: number;
  /** Streams that could not begin in time, for want of an idle connection. */
  readonly late: number;
  readonly seconds: number;
  readonly firstByteUs: Percentiles;
  readonly durationUs: Percentiles;
}

/** Of the times measured. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

let files = 0;

/** wrk: HTTP/1.1, keep-alive, one request at a time on each connection. */
export async function wrk(
  request: Request,
  load: { connections: number; seconds: number; folder: string; actors?: number },
): Promise<LoadResult> {
  const body = join(load.folder, `body-${++files}`);
  writeFileSync(body, request.body);
  const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`);
  const script = join(import.meta.dirname, "../load/post.lua");
  const args = [
    "-t1",
    `-c${load.connections}`,
    `-d${load.seconds}s`,
    "--timeout",
    "10s",
    "-s",
    script,
    `http://127.0.0.1:${request.port}`,
  ];
  const output = await run(requireTools(["wrk"]).wrk, args, {
    env: {
      BENCH_PATH: request.path,
      BENCH_HEADERS: headers.join("\n"),
      BENCH_BODY: body,
      BENCH_ACTORS: String(load.actors ?? 1),
    },
    timeoutMs: load.seconds * 1000 + 20_000,
  });
  rmSync(body);
  const { durationUs, ...result } = JSON.parse(/^RESULT (.*)$/m.exec(output)?.[1] ?? "{}") as LoadResult & {
    durationUs: number;
  };
  return { ...result, seconds: durationUs / 1e6 };
}

/** h2load: HTTP/2 without TLS, or HTTP/1.1; for what wrk does not speak. */
export async function h2load(
  request: Request,
  load: { connections: number; streams: number; seconds: number; folder: string; http1?: boolean },
): Promise<LoadResult> {
  const body = join(load.folder, `body-${++files}`);
  const log = join(load.folder, `h2load-${files}`);
  writeFileSync(body, request.body);
  const headers = Object.entries(request.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const args = [
    "-t1",
    `-c${load.connections}`,
    `-m${load.streams}`,
    `-D${load.seconds}`,
    ...headers,
    "-d",
    body,
    `--log-file=${log}`,
  ];
  const startedAt = performance.now();
  await run(
    requireTools(["h2load"]).h2load,
    [...args, ...(load.http1 ? ["--h1"] : []), `http://127.0.0.1:${request.port}${request.path}`],
    { timeoutMs: load.seconds * 1000 + 20_000 },
  );
  const seconds = Math.min((performance.now() - startedAt) / 1000, load.seconds);
  const result = await readLog(log);
  rmSync(body);
  rmSync(log);
  return { ...result, seconds };
}

/** h2load's log: start time, status and microseconds of each request. */
async function readLog(file: string): Promise<Omit<LoadResult, "seconds">> {
  const times: number[] = [];
  let errors = 0;
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [, status, us] = line.split("\t");
    if (status === "200") times.push(Number(us));
    else errors++;
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? Number.NaN;
  return { requests: times.length, errors, p50: at(0.5), p99: at(0.99), p999: at(0.999) };
}

/** Streamed answers over HTTP/1.1. `rate` 0: each connection begins its next stream when one has ended. */
export async function streams(
  request: Request,
  load: { connections: number; seconds: number; rate?: number; folder: string },
): Promise<StreamsResult> {
  const file = join(load.folder, `request-${++files}`);
  const head = Object.entries({ host: "127.0.0.1", ...request.headers, "content-length": String(request.body.length) })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  writeFileSync(file, Buffer.concat([Buffer.from(`POST ${request.path} HTTP/1.1\r\n${head}\r\n`), request.body]));
  const args = [request.port, file, load.connections, load.seconds, load.rate ?? 0].map(String);
  const output = await run(join(buildFolder, "streams"), args, { timeoutMs: load.seconds * 1000 + 20_000 });
  rmSync(file);
  return JSON.parse(output) as StreamsResult;
}
