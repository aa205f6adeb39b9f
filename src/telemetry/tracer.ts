import { createHexIds } from "../lib/hex-ids.js";
import type { Attributes, Span } from "../lib/span.js";
import { cleanText } from "./clean.js";
import { encodeSpan, type SpanKind } from "./otlp.js";

/** Makes spans. Those that have ended go to the tracer's `export`, as bytes. */
export interface Tracer {
  /** The span of a request, under the ids that its caller is told; undefined: it is not traced. */
  request(begun: BegunRequest): Span | undefined;
  /** Work that nobody asked for and that is a trace of its own, from `startedAt` (ms since 1970) on; undefined: it is not traced. */
  work(name: string, kind: SpanKind, startedAt?: number): Span | undefined;
}

/** A request that has come in. */
export interface BegunRequest {
  readonly traceId: string;
  readonly spanId: string;
  /** The caller's own span, where the trace is the caller's. */
  readonly callerSpanId: string | undefined;
  /** Whether the caller asks for a trace. */
  readonly asked: boolean;
}

export interface TracerOptions {
  /** All requests, or those that ask for it. */
  readonly policy: "all" | "selective";
  /** Share of them that is traced, 0 to 1. */
  readonly share: number;
}

/** Most attributes, events and parts of one span, and most characters of a text. */
const maxAttributes = 64;
const maxEvents = 16;
const maxChildren = 64;
const maxLength = 256;

export function createTracer(parts: { export: (span: Uint8Array) => void }, options: TracerOptions): Tracer {
  const { policy, share } = options;
  // By the gateway's own random id: whoever could choose would be traced always, or never.
  const within = (spanId: string): boolean => share >= 1 || Number.parseInt(spanId.slice(0, 12), 16) < share * 2 ** 48;

  return {
    request({ traceId, spanId, callerSpanId, asked }) {
      if ((policy === "selective" && !asked) || !within(spanId)) return undefined;
      const offsetMs = Date.now() - performance.now();
      return createSpan(
        { traceId, spanId, parentId: undefined, linkedId: callerSpanId, kind: "server", offsetMs },
        parts,
      );
    },
    work(name, kind, startedAt) {
      if (policy === "selective") return undefined;
      const traceId = newTraceId();
      const spanId = newSpanId();
      if (!within(spanId)) return undefined;
      const offsetMs = Date.now() - performance.now();
      const span = createSpan(
        { traceId, spanId, parentId: undefined, linkedId: undefined, kind, offsetMs, startedAt },
        parts,
      );
      span.rename(name);
      return span;
    },
  };
}

interface Identity {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  readonly linkedId: string | undefined;
  readonly kind: SpanKind;
  /** From `performance.now()` to ms since 1970, alike for a whole trace. */
  readonly offsetMs: number;
  readonly startedAt?: number | undefined;
}

function createSpan(identity: Identity, parts: { export: (span: Uint8Array) => void }): Span {
  const { traceId, spanId, offsetMs } = identity;
  const now = (): number => offsetMs + performance.now();
  const startedAt = identity.startedAt ?? now();
  const attributes: Record<string, string | number | boolean> = {};
  const events: { name: string; at: number }[] = [];
  let name = "";
  let failed = false;
  let endedAt: number | undefined;
  let retained = 0;
  let over = false;
  let said = 0;
  let children = 0;

  function exportIfOver(): void {
    if (endedAt === undefined || retained > 0 || over) return;
    over = true;
    const { parentId, linkedId, kind } = identity;
    const span = { traceId, spanId, parentId, linkedId, kind, name, startedAt, endedAt, attributes, events, failed };
    parts.export(encodeSpan(span));
  }

  return {
    rename(given) {
      name = given;
    },
    set(given) {
      said += setAll(attributes, given, maxAttributes - said);
    },
    fail(why) {
      failed = true;
      attributes["error.type"] = cleaned(why);
    },
    event(what, afterMs) {
      if (events.length < maxEvents) events.push({ name: what, at: startedAt + afterMs });
    },
    child(what, kind) {
      if (over || children >= maxChildren) return nothing;
      children++;
      const own = { traceId, spanId: newSpanId(), parentId: spanId, linkedId: undefined, kind, offsetMs };
      const span = createSpan(own, parts);
      span.rename(what);
      return span;
    },
    retain() {
      retained++;
    },
    release() {
      retained--;
      exportIfOver();
    },
    end() {
      endedAt ??= now();
      exportIfOver();
    },
    discard() {
      over = true;
    },
  };
}

/** How many names are new. */
function setAll(into: Record<string, string | number | boolean>, given: Attributes, room: number): number {
  let added = 0;
  for (const name of Object.keys(given)) {
    const value = given[name];
    const isNew = !(name in into);
    if (value === undefined || (isNew && added >= room)) continue;
    if (isNew) added++;
    into[name] = typeof value === "string" ? cleaned(value) : value;
  }
  return added;
}

/** Nobody should pass a secret: this is the second net. */
function cleaned(text: string): string {
  return cleanText(text.length > maxLength ? text.slice(0, maxLength) : text);
}

const newTraceId = createHexIds(32);
const newSpanId = createHexIds(16);

const nothing: Span = {
  rename() {},
  set() {},
  fail() {},
  event() {},
  retain() {},
  release() {},
  child: () => nothing,
  end() {},
  discard() {},
};
