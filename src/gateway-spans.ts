// What is told to traces, and in which words: those of https://opentelemetry.io/docs/specs/semconv/ where there are any. Ids, names
// and numbers only: no token, no key, nothing of a prompt or an answer.

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Config } from "./config.js";
import { GatewayError } from "./errors.js";
import type { Traces, TracesParts } from "./gateway-traces.js";
import type { Span } from "./lib/span.js";
import type { Api } from "./providers/provider.js";
import type { Hold, Quota } from "./quota/quota.js";
import type { RelayEnd } from "./relay.js";
import { createOtlpHttp } from "./telemetry/otlp-http.js";
import { createSpanQueue } from "./telemetry/span-queue.js";
import { createTracer, type Tracer } from "./telemetry/tracer.js";
import type { Exchange, Upstreams, UpstreamTarget } from "./upstream/upstream.js";
import type { UsageEvent } from "./usage/event.js";
import type { Sink } from "./usage/sink.js";

/** How long the end may wait for spans to be exported. */
const flushMs = 3_000;

/** Starts to export. */
export function startTraces(
  config: NonNullable<Config["traces"]> & Pick<Config, "environment">,
  { log, metrics, version }: TracesParts,
): Traces {
  const sender = {
    resource: {
      "service.version": version,
      "service.instance.id": randomUUID(),
      "deployment.environment.name": config.environment,
      "host.name": hostname(),
      "process.pid": process.pid,
      "telemetry.sdk.name": "cody-gateway",
      "telemetry.sdk.language": "nodejs",
      "telemetry.sdk.version": version,
      ...config.resource,
    },
    scope: { name: "cody-gateway", version },
  };
  const receiver = createOtlpHttp(sender, { ...config, userAgent: `Cody-Gateway/${version}` });
  const queue = createSpanQueue({ send: receiver.send, log, count: metrics.spansHandled }, config.queue);
  const tracer = createTracer({ export: queue.add }, config);
  return {
    tracer,
    // A caller may leave before it is known what its request has cost.
    began: ({ span }) => span?.retain(),
    admitted: ({ span }) => span?.set(admitted),
    ended,
    upstreams: tracedUpstreams,
    quota: tracedQuota,
    sink: (sink) => tracedSink(tracer, sink),
    synced(source, { startedAt, endedAt, outcome, counts, dryRun }) {
      // The times are those of the store's clock.
      const span = tracer.work("source.sync", "client", Date.now() - (endedAt - startedAt));
      if (!span) return;
      const { pages, seen, added, changed, removed, quarantined } = counts;
      const numbers = Object.entries({ pages, seen, added, changed, removed, quarantined });
      span.set({
        "cody_gateway.actor.source": source,
        "cody_gateway.outcome": outcome,
        "cody_gateway.sync.dry_run": dryRun,
        ...Object.fromEntries(numbers.map(([name, count]) => [`cody_gateway.sync.${name}`, count])),
      });
      if (outcome === "failed" || outcome === "held") span.fail(outcome);
      span.end();
    },
    async close() {
      await queue.close(flushMs);
      await receiver.close();
    },
  };
}

const admitted = { "cody_gateway.quota.decision": "admitted" };

/** Reasons for which limits refuse, or cannot be asked. */
const quotaReasons: Readonly<Record<string, string>> = {
  QUOTA_EXCEEDED: "refused",
  TOO_MANY_IN_FLIGHT: "refused",
  FEATURE_NOT_GRANTED: "refused",
  QUOTA_STORE_UNAVAILABLE: "unavailable",
};

function ended(event: UsageEvent, { request: { span } }: RelayEnd): void {
  if (!span) return;
  // In one go and under fixed names: an object that is put together from parts is a slow one.
  span.set({
    "cody_gateway.actor.id": event.actor.id,
    "cody_gateway.actor.source": event.actor.source,
    "cody_gateway.feature": event.feature,
    "cody_gateway.model": event.model,
    "cody_gateway.provider": event.provider,
    "cody_gateway.upstream": event.upstream,
    "cody_gateway.stream": event.stream,
    "cody_gateway.outcome": event.outcome,
    "cody_gateway.reason": event.reason,
    "cody_gateway.charged": event.charged,
    "cody_gateway.attempts": event.attempts,
    "cody_gateway.upstream.status_code": event.upstreamStatus,
    "cody_gateway.usage.input_tokens": event.usage.inputTokens,
    "cody_gateway.usage.output_tokens": event.usage.outputTokens,
    "cody_gateway.quota.decision": quotaReasons[event.reason ?? ""],
  });
  if (event.outcome === "failed") span.fail(event.reason ?? "INTERNAL");
  if (event.firstByteMs !== undefined) span.event("first_byte", event.firstByteMs);
  span.release();
}

/** Each request to an upstream, retries and other models among them. */
function tracedUpstreams(upstreams: Upstreams, targets: readonly UpstreamTarget[]): Upstreams {
  const places = new Map(targets.map(({ name, provider, baseUrl }) => [name, placeOf(provider.kind, baseUrl)]));
  return {
    ...upstreams,
    async send(request, reply, onReached) {
      const { span, upstream, model, api } = request;
      if (!span) return upstreams.send(request, reply, onReached);
      const operation = operationOf(api);
      const part = span.child(`${operation} ${model}`, "client");
      part.set({
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": model,
        "http.request.method": "POST",
        "cody_gateway.upstream": upstream,
      });
      part.set(places.get(upstream) ?? {});
      const exchange = await upstreams.send(request, reply, onReached);
      if (exchange.kind === "failed" && !exchange.tried) part.discard();
      describeExchange(part, exchange);
      part.end();
      return exchange;
    },
  };
}

function describeExchange(part: Span, exchange: Exchange): void {
  const { kind, status, usage, firstByteMs } = exchange;
  part.set({
    "http.response.status_code": status,
    "gen_ai.usage.input_tokens": usage.inputTokens,
    "gen_ai.usage.output_tokens": usage.outputTokens,
    "cody_gateway.outcome": kind === "gone" ? "client_gone" : undefined,
  });
  if (firstByteMs !== undefined) part.event("first_byte", firstByteMs);
  if (kind === "failed") part.fail(exchange.error.reason);
  else if (kind === "answered" && exchange.streamError) part.fail("UPSTREAM_INTERRUPTED");
  else if (status !== undefined && status >= 400) part.fail(String(status));
}

/** What OpenTelemetry calls providers where that differs. */
const providerNames: Readonly<Record<string, string>> = { google: "gcp.gemini" };

function placeOf(kind: string, baseUrl: string) {
  const { hostname: address, port, protocol } = new URL(baseUrl);
  return {
    "gen_ai.provider.name": providerNames[kind] ?? kind,
    "server.address": address,
    "server.port": Number(port || (protocol === "https:" ? 443 : 80)),
  };
}

function operationOf({ feature, name }: Api): string {
  if (feature === "embeddings") return "embeddings";
  if (name === "generate_content") return name;
  return name === "complete" || name === "completions" ? "text_completion" : "chat";
}

/** Of requests that have limits: how long the store took to admit and to settle them. */
function tracedQuota(quota: Quota): Quota {
  return {
    ...quota,
    async reserve(request) {
      const { span } = request;
      if (!span) return quota.reserve(request);
      const part = span.child("quota.reserve", "client");
      try {
        const hold = await quota.reserve(request);
        if (hold.states.length === 0) part.discard();
        part.set({ "cody_gateway.quota.decision": "admitted", "cody_gateway.quota.limits": hold.states.length });
        return hold.states.length === 0 ? hold : tracedHold(hold, span);
      } catch (error) {
        const reason = error instanceof GatewayError ? error.reason : "INTERNAL";
        const decision = quotaReasons[reason];
        part.set({ "cody_gateway.reason": reason, "cody_gateway.quota.decision": decision });
        if (decision !== "refused") part.fail(reason);
        throw error;
      } finally {
        part.end();
      }
    },
  };
}

function tracedHold(hold: Hold, span: Span): Hold {
  const settle = async (as: "commit" | "refund", settled: Promise<void>): Promise<void> => {
    const part = span.child("quota.settle", "client");
    part.set({ "cody_gateway.quota.settlement": as });
    await settled;
    part.end();
  };
  return {
    get states() {
      return hold.states;
    },
    get told() {
      return hold.told;
    },
    reached: () => hold.reached(),
    commit: (amounts, outcome) => settle("commit", hold.commit(amounts, outcome)),
    refund: (outcome) => settle("refund", hold.refund(outcome)),
  };
}

function tracedSink(tracer: Tracer, sink: Sink): Sink {
  return {
    ...sink,
    async send(batch) {
      const span = tracer.work("events.deliver", "client");
      span?.set({ "cody_gateway.sink": sink.name, "cody_gateway.events": batch.length });
      try {
        await sink.send(batch);
      } catch (error) {
        span?.fail(error instanceof Error ? error.name : "failed");
        throw error;
      } finally {
        span?.end();
      }
    },
  };
}
