// What a receiver of traces reads, by the protocol's own description.

import { resolve } from "node:path";
import { loadSync, type MethodDefinition } from "@grpc/proto-loader";

const file = resolve(import.meta.dirname, "../testdata/otlp/trace-service.proto");
const loaded = loadSync(file, { longs: String, enums: String, bytes: Buffer, defaults: true });
const { Export } = loaded["otlp.TraceService"] as unknown as { Export: MethodDefinition<object, object> };

/** A span as it was received. */
export interface ReadSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: it has none. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: string;
  readonly startedAt: bigint;
  readonly endedAt: bigint;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly events: readonly { readonly name: string; readonly at: bigint }[];
  /** Of other spans: `trace/span/flags`. */
  readonly links: readonly string[];
  readonly flags: number;
  readonly failed: boolean;
}

export interface ReadExport {
  readonly resource: ReadSpan["attributes"];
  readonly scope: { readonly name: string; readonly version: string };
  readonly spans: readonly ReadSpan[];
}

interface KeyValue {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string; readonly boolValue?: boolean } & {
    readonly doubleValue?: number;
  };
}
interface Wire {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string; readonly version: string };
      readonly spans: readonly {
        readonly traceId: Buffer;
        readonly spanId: Buffer;
        readonly parentSpanId: Buffer;
        readonly name: string;
        readonly kind: string;
        readonly startTimeUnixNano: string;
        readonly endTimeUnixNano: string;
        readonly attributes: readonly KeyValue[];
        readonly events: readonly { readonly name: string; readonly timeUnixNano: string }[];
        readonly links: readonly { readonly traceId: Buffer; readonly spanId: Buffer; readonly flags: number }[];
        readonly flags: number;
        readonly status: { readonly code: string } | null;
      }[];
    }[];
  }[];
}

/** One export. Throws when it is none. */
export function readExport(bytes: Uint8Array): ReadExport {
  const { resourceSpans } = Export.requestDeserialize(Buffer.from(bytes)) as Wire;
  const [of, ...others] = resourceSpans;
  const [scoped, ...more] = of?.scopeSpans ?? [];
  if (!of || !scoped || others.length + more.length > 0) throw new Error("expected spans of one resource and scope");
  return {
    resource: valuesOf(of.resource.attributes),
    scope: { name: scoped.scope.name, version: scoped.scope.version },
    spans: scoped.spans.map((span) => ({
      traceId: span.traceId.toString("hex"),
      spanId: span.spanId.toString("hex"),
      parentSpanId: span.parentSpanId.toString("hex"),
      name: span.name,
      kind: span.kind,
      startedAt: BigInt(span.startTimeUnixNano),
      endedAt: BigInt(span.endTimeUnixNano),
      attributes: valuesOf(span.attributes),
      events: span.events.map(({ name, timeUnixNano }) => ({ name, at: BigInt(timeUnixNano) })),
      links: span.links.map((link) => `${link.traceId.toString("hex")}/${link.spanId.toString("hex")}/${link.flags}`),
      flags: span.flags,
      failed: span.status?.code === "ERROR",
    })),
  };
}

/** The answer to an export. */
export function writeAnswer(answer: object): Buffer {
  return Export.responseSerialize(answer);
}

function valuesOf(all: readonly KeyValue[]): Record<string, string | number | boolean> {
  const entries = all.map(({ key, value }): [string, string | number | boolean] => {
    const { stringValue, boolValue, doubleValue, intValue } = value;
    return [key, stringValue ?? boolValue ?? doubleValue ?? Number(intValue)];
  });
  return Object.fromEntries(entries);
}
