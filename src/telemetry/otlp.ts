// Spans as bytes of OTLP: https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/opentelemetry/proto/trace/v1/trace.proto
// Written field by field: each span once, as soon as it has ended, so that what waits is small and sending is putting together.

import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Attributes } from "../lib/span.js";

/** A span that has ended. */
export interface EndedSpan {
  /** In lower-case hex. */
  readonly traceId: string;
  readonly spanId: string;
  /** The span that it is a part of, in the same trace. */
  readonly parentId: string | undefined;
  /** A span of somebody else, in the same trace, that it follows from. */
  readonly linkedId: string | undefined;
  readonly kind: SpanKind;
  readonly name: string;
  /** Since 1970, ms. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Attributes;
  readonly events: readonly { readonly name: string; readonly at: number }[];
  readonly failed: boolean;
}

export const spanKinds = { internal: 1, server: 2, client: 3 } as const;
export type SpanKind = keyof typeof spanKinds;

/** Bits of `flags`: whether it is known where the other span is from, and that it is from elsewhere. The lowest is "sampled". */
const localFlags = 0x101;
const remoteFlags = 0x300;

/** Above what the bounds of a span's parts come to (`tracer.ts`); a span that is larger all the same is a bug, and throws. */
const maxBytes = 256 * 1024;
// One for all: a span is written in one go, and copied out.
const scratch = Buffer.allocUnsafe(maxBytes);

export function encodeSpan(span: EndedSpan): Uint8Array {
  let at = hex(0, 1, span.traceId);
  at = hex(at, 2, span.spanId);
  if (span.parentId !== undefined) at = hex(at, 4, span.parentId);
  at = text(at, 5, span.name);
  at = varint(tag(at, 6, wire.varint), spanKinds[span.kind]);
  at = time(at, 7, span.startedAt);
  at = time(at, 8, span.endedAt);
  at = attributes(at, 9, span.attributes);
  for (const { name, at: happened } of span.events) {
    at = nested(at, 11, timeBytes + textBytes(name));
    at = text(time(at, 1, happened), 2, name);
  }
  if (span.linkedId !== undefined) {
    at = nested(at, 13, (span.traceId.length + span.linkedId.length) / 2 + 9);
    at = hex(hex(at, 1, span.traceId), 2, span.linkedId);
    at = fixed32(at, 6, remoteFlags);
  }
  if (span.failed) at = varint(tag(nested(at, 15, 2), 3, wire.varint), failedStatus);
  at = fixed32(at, 16, localFlags);
  const bytes = Buffer.allocUnsafe(at);
  scratch.copy(bytes, 0, 0, at);
  return bytes;
}

/** Who sends spans. */
export interface Sender {
  readonly resource: Attributes;
  /** Name and version of what made the spans. */
  readonly scope: { readonly name: string; readonly version: string };
}

/** One export of spans that `encodeSpan` made. */
export function encodeExport({ resource, scope }: Sender, spans: readonly Uint8Array[]): Uint8Array {
  const said = Buffer.from(scratch.subarray(0, attributes(0, 1, resource)));
  const by = Buffer.from(scratch.subarray(0, text(text(0, 1, scope.name), 2, scope.version)));
  const made = [...within(1, [by]), ...spans.flatMap((span) => within(2, [span]))];
  return Buffer.concat(within(1, [...within(1, [said]), ...within(2, made)]));
}

/** A message, in pieces. */
function within(number: number, pieces: readonly Uint8Array[]): Uint8Array[] {
  const length = pieces.reduce((sum, { length: each }) => sum + each, 0);
  return [Buffer.from(scratch.subarray(0, nested(0, number, length))), ...pieces];
}

/** How many spans the answer to an export says were not taken. What cannot be read says nothing. */
export function rejectedSpans(answer: Uint8Array): number {
  try {
    const partial = field(answer, 1, (reader) => reader.bytes());
    return (partial && field(partial, 1, (reader) => Math.max(0, Number(reader.int64())))) ?? 0;
  } catch {
    return 0;
  }
}

function field<T>(message: Uint8Array, wanted: number, read: (reader: BinaryReader) => T): T | undefined {
  const reader = new BinaryReader(message);
  let found: T | undefined;
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number === wanted) found = read(reader);
    else reader.skip(wire);
  }
  return found;
}

// Each of these writes a field at a place, and returns the place behind it.

/** How values are written: https://protobuf.dev/programming-guides/encoding/ */
const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const failedStatus = 2;
const timeBytes = 9;

function attributes(from: number, number: number, all: Attributes): number {
  let at = from;
  for (const name of Object.keys(all)) {
    const value = all[name];
    if (value === undefined) continue;
    const length = valueBytes(value);
    at = nested(at, number, textBytes(name) + 1 + varintBytes(length) + length);
    at = text(at, 1, name);
    at = nested(at, 2, length);
    if (typeof value === "string") at = text(at, 1, value);
    else if (typeof value === "boolean") at = varint(tag(at, 2, wire.varint), Number(value));
    else if (isCount(value)) at = varint(tag(at, 3, wire.varint), value);
    else at = scratch.writeDoubleLE(value, tag(at, 4, wire.fixed64));
  }
  return at;
}

function valueBytes(value: string | number | boolean): number {
  if (typeof value === "string") return textBytes(value);
  if (typeof value === "boolean") return 2;
  return isCount(value) ? 1 + varintBytes(value) : 9;
}

/** What is no such number is written as a double: nothing that is told is negative and whole. */
function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** The tag and length of a message, or of a text. */
function nested(at: number, number: number, length: number): number {
  return varint(tag(at, number, wire.bytes), length);
}

function text(from: number, number: number, value: string): number {
  const at = nested(from, number, Buffer.byteLength(value));
  return at + scratch.write(value, at);
}

/** With tag and length. */
function textBytes(value: string): number {
  const length = Buffer.byteLength(value);
  return 1 + varintBytes(length) + length;
}

function hex(from: number, number: number, digits: string): number {
  const at = nested(from, number, digits.length / 2);
  return at + scratch.write(digits, at, "hex");
}

/** In nanoseconds; known to the microsecond. */
function time(at: number, number: number, ms: number): number {
  return scratch.writeBigUInt64LE(BigInt(Math.round(ms * 1_000)) * 1_000n, tag(at, number, wire.fixed64));
}

function fixed32(at: number, number: number, value: number): number {
  return scratch.writeUInt32LE(value, tag(at, number, wire.fixed32));
}

function tag(at: number, number: number, type: number): number {
  return varint(at, number * 8 + type);
}

function varint(from: number, value: number): number {
  let at = from;
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) scratch[at++] = (rest % 128) | 0x80;
  scratch[at++] = rest;
  return at;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}
