// The gateway's configuration: environment first, a file for what a variable cannot say well.

import { features } from "./actors/actor.js";
import { alertsOf } from "./config/alerts.js";
import { backEndNotices, backEndsOf, checkBackEnds } from "./config/back-ends.js";
import { bigQueryNotices, bigQueryOf, eventSinksOf } from "./config/bigquery.js";
import { type EnvironmentReading, readEnvironment } from "./config/environment.js";
import { readConfigFile } from "./config/file.js";
import type { FileContent } from "./config/file-schema.js";
import { flaggingOf } from "./config/flagging.js";
import type { Environment, ReadFile } from "./config/secrets.js";
import { idleTraces, traceNotices, tracesOf } from "./config/traces.js";
import type { Config, Loaded, Problem } from "./config/types.js";
import { environmentUpstreams, mergeUpstreams } from "./config/upstreams.js";
import { type Clock, systemClock } from "./lib/clock.js";

export type { Environment, ReadFile } from "./config/secrets.js";
export { describeSettings, renderSettings, type ShownConfig, showConfig } from "./config/show.js";
export * from "./config/types.js";
export { watchConfig } from "./config/watch.js";

export interface LoadOptions {
  readonly clock?: Clock;
  /** The kinds of providers that there are. Absent: whichever the file names, for who starts the gateway to judge. */
  readonly kinds?: readonly string[];
}

/** Reads environment and file. All problems are found at once; secrets are resolved. */
export function loadConfig(
  env: Environment,
  readFile: ReadFile,
  { clock = systemClock, kinds }: LoadOptions = {},
): Loaded {
  const reading = readEnvironment(env, readFile);
  const path = reading.values.file;
  const fromEnvironment = environmentUpstreams(reading);
  const upstreams = fromEnvironment.map(({ name }) => name);
  const now = new Date(clock.now());
  const file = path === undefined ? noFile : readConfigFile(path, { env, readFile, upstreams, now, kinds });
  const content = file.content ?? nothing;

  const { upstreams: merged, notices: replaced } = mergeUpstreams(
    fromEnvironment,
    content.upstreams,
    reading.values.embeddingsModels,
  );
  const bigQuery = bigQueryOf(reading.values, readFile);
  // A key or a file that could not be read may well be the provider that is missing.
  const missing = merged.length === 0 && file.content !== undefined && !reading.vendorKeySet;
  const problems = [
    ...(missing ? [noProvider] : []),
    ...reading.problems,
    ...checkTogether(reading.values),
    ...bigQuery.problems,
    ...file.problems,
  ];
  const notices = [
    ...reading.notices,
    ...replaced,
    ...bigQueryNotices(reading.values),
    ...traceNotices(reading.values),
  ];
  if (problems.length > 0) return { problems, notices };

  const config = assemble(reading, content, { upstreams: merged, bigQuery: bigQuery.bigQuery });
  return { config: { ...config, notices: [...notices, ...idleTraces(reading.values), ...openEnds(config)] } };
}

const nothing: FileContent = {
  upstreams: [],
  models: [],
  staticActors: [],
  quotaStoreFailure: {},
  perUserLimits: {},
  flagging: {},
  alerts: [],
};
const noFile = { content: nothing, problems: [] };

const noProvider: Problem = {
  source: "CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN",
  message:
    "no provider is configured: set this to an Anthropic key, or CODY_GATEWAY_OPENAI_ACCESS_TOKEN to an OpenAI key " +
    "(ANTHROPIC_API_KEY and OPENAI_API_KEY do as well, and there are GEMINI_API_KEY and FIREWORKS_API_KEY), or list providers in the file that CODY_GATEWAY_CONFIG names. " +
    "To try the gateway without any key: cody-gateway demo",
};

/** What must hold between settings. */
function checkTogether(values: EnvironmentReading["values"]): Problem[] {
  const problems: Problem[] = [];
  const { tlsCertFile, tlsKeyFile, adminPort, port, workers, redisEndpoint } = values;
  if (tlsCertFile !== undefined && tlsKeyFile === undefined) {
    problems.push({ source: "CODY_GATEWAY_TLS_KEY_FILE", message: "expected the key of CODY_GATEWAY_TLS_CERT_FILE" });
  }
  if (tlsKeyFile !== undefined && tlsCertFile === undefined) {
    problems.push({ source: "CODY_GATEWAY_TLS_CERT_FILE", message: "expected the chain of CODY_GATEWAY_TLS_KEY_FILE" });
  }
  if (workers > 1 && redisEndpoint === undefined) {
    const message = `expected 1 without REDIS_ENDPOINT: ${workers} processes share their limits through Redis only`;
    problems.push({ source: "CODY_GATEWAY_WORKERS", message });
  }
  if (adminPort !== undefined && adminPort === port) {
    problems.push({ source: "CODY_GATEWAY_ADMIN_PORT", message: "expected another port than PORT" });
  }
  if (values.corsOrigins?.includes("*") && values.allowAnonymous) {
    // From inside a network that the page itself is not let into.
    const message = "expected origins by name with CODY_GATEWAY_ALLOW_ANONYMOUS: any page could call without a token";
    problems.push({ source: "CODY_GATEWAY_CORS_ORIGINS", message });
  }
  problems.push(...checkBackEnds(values));
  return problems;
}

function assemble(
  reading: EnvironmentReading,
  file: FileContent,
  { upstreams, bigQuery }: Pick<Config, "upstreams"> & Pick<Config["events"], "bigQuery">,
): Config {
  const { values } = reading;
  const { connectMs, firstByteMs, idleMs, totalMs, tlsCertFile, tlsKeyFile } = values;
  return {
    host: values.host,
    port: values.port,
    adminPort: values.adminPort,
    tls: tlsCertFile && tlsKeyFile ? { certFile: tlsCertFile, keyFile: tlsKeyFile } : undefined,
    corsOrigins: values.corsOrigins ?? [],
    adminTokens: values.adminTokens ?? [],
    diagnosticsSecret: values.diagnosticsSecret,
    maxBodyBytes: values.maxBodyBytes,
    maxMessageBytes: values.maxMessageBytes,
    streamHeartbeatMs: values.streamHeartbeatMs,
    writeStallMs: values.writeStallMs,
    drain: { delayMs: values.drainDelayMs, timeoutMs: values.drainTimeoutMs },
    redisEndpoint: values.redisEndpoint,
    redisPrefix: values.redisPrefix,
    redisTimeoutMs: values.redisTimeoutMs,
    dataDir: values.dataDir,
    workers: values.workers,
    tokenPepper: values.tokenPepper,
    allowAnonymous: values.allowAnonymous,
    ...backEndsOf(values),
    staticActors: file.staticActors,
    burst: { percentage: values.burstPercentage, windowMs: values.burstWindowMs },
    sources: {
      syncIntervalMs: values.syncIntervalMs,
      shrinkGuard: values.shrinkGuard / 100,
      maxStaleMs: values.maxStaleMs,
      cacheTtlMs: values.cacheTtlMs,
    },
    perUserLimits: { ...perUserOf(values.userLimitPercentage), ...file.perUserLimits },
    quotaLeaseMs: values.quotaLeaseMs,
    quotaStoreFailure: { ...eachFeature(values.quotaStoreFailure), ...file.quotaStoreFailure },
    upstreams,
    upstreamTimeouts: { connectMs, firstByteMs, idleMs, totalMs },
    models: file.models,
    maxTokensToSample: values.maxTokensToSample,
    starcoder: { enterprisePercent: values.starcoderEnterprise, communityPercent: values.starcoderCommunity },
    flagging: flaggingOf(values, file.flagging),
    alerts: alertsOf(values, file.alerts),
    eventSinks: eventSinksOf(values),
    events: {
      maxWaiting: values.eventsMaxWaiting,
      whenFull: values.eventsWhenFull,
      httpHeaders: values.eventsHttpHeaders ?? {},
      bigQuery,
    },
    log: { level: values.logLevel, format: values.logFormat },
    traces: tracesOf(values),
    file: values.file,
    notices: [],
  };
}

/** The same share of every feature. */
function perUserOf(percentage: number | undefined): Config["perUserLimits"] {
  return percentage === undefined ? {} : eachFeature({ limits: [], percentage });
}

function eachFeature<T>(value: T): Record<(typeof features)[number], T> {
  return Object.fromEntries(features.map((feature) => [feature, value])) as Record<(typeof features)[number], T>;
}

/** What an operator should know of a configuration that is right. */
function openEnds(config: Config): string[] {
  const notices: string[] = [];
  const { staticActors, allowAnonymous, enterprisePortal, dotcom } = config;
  if (staticActors.length === 0 && !allowAnonymous && !enterprisePortal && !dotcom) {
    notices.push("no actors: every request will be refused; list actors in the file that CODY_GATEWAY_CONFIG names");
  }
  notices.push(...backEndNotices(config));
  if (config.redisEndpoint !== undefined && config.dataDir !== undefined) {
    notices.push("CODY_GATEWAY_DATA_DIR: no effect with REDIS_ENDPOINT, what is counted is kept in Redis");
  }
  if (config.redisEndpoint === undefined && config.dataDir === undefined) {
    notices.push(
      "neither REDIS_ENDPOINT nor CODY_GATEWAY_DATA_DIR is set: limits and events that wait are in memory only, and are gone with this process",
    );
  }
  if (config.alerts.some(({ kind, secret }) => kind === "webhook" && secret === undefined))
    notices.push("notifications: a webhook without secret cannot tell who calls it");
  if (config.eventSinks.length === 0) notices.push("CODY_GATEWAY_EVENTS_SINKS is none: usage is not recorded");
  return notices;
}
