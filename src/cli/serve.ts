import {
  type Config,
  ConfigError,
  formatProblem,
  type Loaded,
  loadConfig,
  type Problem,
  watchConfig,
} from "../config.js";
import { type Gateway, startGateway } from "../gateway.js";
import { CannotListenError } from "../gateway-listen.js";
import { upstreamKinds } from "../gateway-upstreams.js";
import { DatabaseUnusableError } from "../lib/database-errors.js";
import { readArgs } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { createHeapBound } from "./heap.js";
import { complain, type Io, type ProcessLog } from "./io.js";
import { untilStopped } from "./lifecycle.js";
import { refuseConfig } from "./problems.js";
import { gatherFromWorkers, isPrimary, isWorker, runWorkers } from "./workers.js";

/** `serve`: reads the configuration, serves until told to stop, and follows changes of the file. */
export async function runServe(args: readonly string[], io: Io): Promise<number> {
  readArgs(args, { options: {}, min: 0, max: 0, usage: "cody-gateway serve" });
  const load = () => loadConfig(io.env, io.readFile, { kinds: upstreamKinds });
  const loaded = load();
  if ("problems" in loaded) return refuseConfig(io, loaded.problems, loaded.notices);

  const { config } = loaded;
  const log = io.createLog({ ...config.log, environment: config.environment });
  if (!isWorker()) for (const notice of config.notices) log.warn({ notice }, "configuration");
  try {
    if (isPrimary(config.workers)) return await runWorkers({ count: config.workers, log, io });
    return await serve({ config, load, log, io });
  } catch (error) {
    if (error instanceof ConfigError) return refuseConfig(io, error.problems);
    if (error instanceof DatabaseUnusableError) return refuseConfig(io, [dataDirProblem(error)]);
    const why = error instanceof Error ? error.message : String(error);
    complain(io, error instanceof CannotListenError ? why : `the gateway could not start: ${why}`);
    return exitCodes.failed;
  } finally {
    log.flush();
  }
}

async function serve(parts: { config: Config; load: () => Loaded; log: ProcessLog; io: Io }): Promise<number> {
  const { config, load, log, io } = parts;
  const { file } = config;
  const heap = createHeapBound();
  const gather = isWorker() ? { gather: gatherFromWorkers } : {};
  const gateway = await startGateway(config, { log, version: io.version, heapGrowth: heap.growth, ...gather });
  const { url, adminUrl } = gateway;
  log.info({ version: io.version, url, adminUrl, providers: config.upstreams.map(({ name }) => name) }, "listening");
  heap.start();
  const watch = watchConfig({
    load,
    watch: file === undefined ? undefined : (onChange) => io.watchFile(file, onChange),
    onConfig: (next) => apply(next, config, gateway, log),
    onProblems: (problems) => reject(problems, log),
  });
  try {
    return await untilStopped({ gateway, log, io, onHangup: () => watch.reload() });
  } finally {
    watch.close();
    heap.stop();
  }
}

/** Actors and keys change at once; the rest is built at start. */
function apply(next: Config, started: Config, gateway: Gateway, log: ProcessLog): void {
  gateway.setStaticActors(next.staticActors);
  const newKeys = gateway.setUpstreamKeys(next.upstreams);
  log.info({ actors: next.staticActors.length, newKeys }, "configuration read again");
  if (restOf(next) !== restOf(started)) {
    log.warn({}, "configuration beside actors and keys has changed: it takes effect at the next start");
  }
}

function restOf(config: Config): string {
  const upstreams = config.upstreams.map((upstream) => ({ ...upstream, keys: undefined }));
  return JSON.stringify({ ...config, upstreams, staticActors: undefined, notices: undefined });
}

function reject(problems: readonly Problem[], log: ProcessLog): void {
  for (const problem of problems) {
    log.error({ problem: formatProblem(problem) }, "configuration is wrong, the one before stays in effect");
  }
}

function dataDirProblem({ message }: DatabaseUnusableError): Problem {
  return { source: "CODY_GATEWAY_DATA_DIR", message };
}
