// Where traces go: the standard variables of OpenTelemetry, https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
// A value of theirs that cannot be read is said and passed over, as the standard has it: they are often set for a whole cluster.

import * as z from "zod";
import * as as from "./schemas.js";
import { type Setting, secret, setting } from "./setting.js";
import type { TracesConfig } from "./types.js";

/** The value of a variable; of one that cannot be read the default, and what was expected. */
export interface Read<T> {
  readonly value: T;
  readonly expected?: string;
}

/** Text that `parse` understands; else `value` holds. `shown` is the default as it would be written; undefined: there is none. */
function lenient<T>(expected: string, value: T, shown: string | undefined, parse: (text: string) => T | undefined) {
  const read = (text: string): Read<T> => {
    const found = parse(text);
    return found === undefined ? { value, expected } : { value: found };
  };
  if (shown !== undefined) return z.string().transform(read).prefault(shown);
  return z
    .string()
    .optional()
    .transform((text): Read<T> => (text === undefined ? { value } : read(text)));
}

function whole(min: number, value: number) {
  return lenient(`a whole number from ${min}`, value, String(value), (digits) => {
    const found = /^\d{1,9}$/.test(digits) ? Number(digits) : Number.NaN;
    return found >= min ? found : undefined;
  });
}

function oneOf<const W extends string>(words: readonly W[], value: W | undefined) {
  return lenient<W | undefined>(words.join(" or "), value, value, (text) =>
    words.find((word) => word === text.toLowerCase()),
  );
}

const endpoint = lenient<string | undefined>(
  "an http:// or https:// URL without query or fragment",
  undefined,
  undefined,
  (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const readable = url && decoded(url.username) !== undefined && decoded(url.password) !== undefined;
    return readable && /^https?:$/.test(url.protocol) && !/[?#\s]/.test(text) ? text : undefined;
  },
);

/** `key=value,…`, percent-encoded: https://www.w3.org/TR/baggage/#header-content */
function pairs(expected: string, form: RegExp) {
  return lenient<Readonly<Record<string, string>>>(expected, {}, undefined, (text) => {
    const found: Record<string, string> = {};
    for (const entry of as.split(text)) {
      const at = entry.indexOf("=");
      const name = decoded(entry.slice(0, Math.max(at, 0)).trim());
      const value = decoded(entry.slice(at + 1).trim());
      if (name === undefined || value === undefined || !form.test(name) || /[^\x20-\x7e]/.test(value)) return undefined;
      found[name] = value;
    }
    return found;
  });
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

const samplers = [
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
  "always_on",
  "always_off",
  "traceidratio",
] as const;

/** Only what is not secret: user and password are, and a path may hold a key. */
function maskEndpoint(text: string, mask: string): string {
  return URL.canParse(text) ? `${new URL(text).origin}/${mask}` : mask;
}

const otlp = (name: string): [name: string, rest: { fallbacks: string[] }] => [
  `OTEL_EXPORTER_OTLP_TRACES_${name}`,
  { fallbacks: [`OTEL_EXPORTER_OTLP_${name}`] },
];
const [headersName, headersRest] = otlp("HEADERS");
const [timeoutName, timeoutRest] = otlp("TIMEOUT");
const [compressionName, compressionRest] = otlp("COMPRESSION");
const [protocolName, protocolRest] = otlp("PROTOCOL");

/** The settings. */
export const traces = {
  tracePolicy: setting(
    "CODY_GATEWAY_TRACE_POLICY",
    as.tracePolicy.prefault("all"),
    "Which requests may be traced: `all`, `selective` (those with `X-Sourcegraph-Should-Trace: true`) or `none`.",
  ),
  otelDisabled: setting(
    "OTEL_SDK_DISABLED",
    lenient<boolean>("true or false", false, "false", (word) =>
      /^(true|false)$/i.test(word) ? word.toLowerCase() === "true" : undefined,
    ),
    "Whether no traces are exported, whatever else is set.",
  ),
  otelExporter: setting(
    "OTEL_TRACES_EXPORTER",
    oneOf(["otlp", "none"], undefined),
    "`otlp` or `none`. Unset: `otlp` where an endpoint is set.",
  ),
  otlpTracesEndpoint: secret(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    endpoint,
    "Where traces are exported to, over HTTP: the whole URL. User and password in it become basic authentication.",
    { masked: maskEndpoint },
  ),
  otlpEndpoint: secret(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    endpoint,
    "The same without `/v1/traces`, which is added. Unset, both: no traces are exported.",
    { masked: maskEndpoint },
  ),
  otlpHeaders: secret(
    headersName,
    pairs(
      "headers as name=value, comma separated, percent-encoded",
      /^(?!content-|host$|connection$)[\w!#$%&'*+.^`|~-]+$/i,
    ),
    "Headers for that, as `name=value`, comma separated.",
    headersRest,
  ),
  otlpTimeoutMs: setting(timeoutName, whole(1, 10_000), "Milliseconds that one export may take.", timeoutRest),
  otlpCompression: setting(compressionName, oneOf(["none", "gzip"], "none"), "`gzip` or `none`.", compressionRest),
  otlpProtocol: setting(
    protocolName,
    oneOf(["http/protobuf"], "http/protobuf"),
    "Only `http/protobuf` there is.",
    protocolRest,
  ),
  otelServiceName: setting(
    "OTEL_SERVICE_NAME",
    as.text.optional(),
    "`service.name` of the traces. Unset: that of `OTEL_RESOURCE_ATTRIBUTES`, else `cody-gateway`.",
  ),
  otelResource: setting(
    "OTEL_RESOURCE_ATTRIBUTES",
    pairs("attributes as name=value, comma separated, percent-encoded", /^[\x21-\x7e]{1,255}$/),
    "Further attributes of the gateway, as `name=value`, comma separated.",
  ),
  otelSampler: setting(
    "OTEL_TRACES_SAMPLER",
    oneOf(samplers, "parentbased_always_on"),
    "`always_on`, `always_off` or `traceidratio`; with `parentbased_` before it the same, for callers do not decide.",
  ),
  otelSamplerArg: setting(
    "OTEL_TRACES_SAMPLER_ARG",
    lenient<number>("a number from 0 to 1", 1, undefined, (text) => {
      const share = /^\d*\.?\d+(e-?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
      return share <= 1 ? share : undefined;
    }),
    "The share of `traceidratio`, 0 to 1. Unset: 1.",
  ),
  bspDelayMs: setting(
    "OTEL_BSP_SCHEDULE_DELAY",
    whole(1, 5_000),
    "Milliseconds that spans wait to be exported together.",
  ),
  bspTimeoutMs: setting(
    "OTEL_BSP_EXPORT_TIMEOUT",
    whole(1, 30_000),
    "Milliseconds for which an export that fails is tried again; then its spans are dropped.",
  ),
  bspQueue: setting("OTEL_BSP_MAX_QUEUE_SIZE", whole(1, 2_048), "Most spans that wait; more are dropped, and counted."),
  bspBatch: setting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", whole(1, 512), "Most spans of one export."),
} satisfies Record<string, Setting>;

type TraceValues = { readonly [K in keyof typeof traces]: z.output<(typeof traces)[K]["schema"]> };

/** Where an exporter sends to when nothing says where: https://opentelemetry.io/docs/specs/otel/protocol/exporter/ */
const usualEndpoint = "http://localhost:4318";

/** Undefined: no traces are exported. */
export function tracesOf(values: TraceValues): TracesConfig | undefined {
  const { tracePolicy: policy, otelExporter, otlpTracesEndpoint, otlpEndpoint } = values;
  const asked = otlpTracesEndpoint.value ?? otlpEndpoint.value ?? otelExporter.value;
  const off = values.otelDisabled.value || otelExporter.value === "none" || otelExporter.expected !== undefined;
  // Grpc has a port of its own: what is sent there over HTTP arrives nowhere.
  if (asked === undefined || off || policy === "none" || values.otlpProtocol.expected !== undefined) return undefined;
  const base = (otlpEndpoint.value ?? usualEndpoint).replace(/\/+$/, "");
  const batchSize = Math.min(values.bspBatch.value, values.bspQueue.value);
  return {
    policy,
    url: otlpTracesEndpoint.value ?? `${base}/v1/traces`,
    headers: values.otlpHeaders.value,
    timeoutMs: values.otlpTimeoutMs.value,
    gzip: values.otlpCompression.value === "gzip",
    share: shareOf(values.otelSampler.value, values.otelSamplerArg.value),
    resource: {
      "service.name": "cody-gateway",
      ...values.otelResource.value,
      ...(values.otelServiceName !== undefined && { "service.name": values.otelServiceName }),
    },
    queue: {
      delayMs: values.bspDelayMs.value,
      exportMs: values.bspTimeoutMs.value,
      maxWaiting: values.bspQueue.value,
      batchSize,
    },
  };
}

function shareOf(sampler: (typeof samplers)[number] | undefined, share: number): number {
  if (sampler?.endsWith("always_off")) return 0;
  return sampler?.endsWith("traceidratio") ? share : 1;
}

/** What was set of values that are right, and has no effect. */
export function idleTraces(values: TraceValues): string[] {
  if (values.tracePolicy !== "selective" || tracesOf(values) !== undefined) return [];
  return [`${traces.tracePolicy.name}: no effect, no traces are exported: OTEL_EXPORTER_OTLP_ENDPOINT says where to`];
}

/** What was set and could not be read, and what follows. Of some there may be no value at all. */
export function traceNotices(values: TraceValues): string[] {
  const entries = Object.entries(traces) as [keyof TraceValues, Setting][];
  return entries.flatMap(([key, { name, fallbacks }]) => {
    const read: unknown = values[key];
    if (typeof read !== "object" || read === null || !("expected" in read)) return [];
    const follows = withoutIt[name] ?? "the default holds";
    return [`${[name, ...fallbacks].join(" or ")}: expected ${String(read.expected)}; ${follows}`];
  });
}

const withoutIt: Readonly<Record<string, string>> = {
  OTEL_TRACES_EXPORTER: "no traces are exported",
  [protocolName]: "no traces are exported",
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "it is as if it were unset",
  OTEL_EXPORTER_OTLP_ENDPOINT: "it is as if it were unset",
};
