// Decoding accesses of a listing by hand: a hundred thousand of them cost a fifth of what reflection takes, and leave next to
// nothing behind.

import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  type CodyGatewayAccess,
  CodyGatewayAccessSchema,
  CodyGatewayRateLimitSchema,
} from "../../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";

/** What of a limit is read. */
export interface LimitFields {
  readonly limit: bigint;
  readonly intervalDuration?: { readonly seconds: bigint; readonly nanos: number } | undefined;
}

/** What of an access is read. */
export interface AccessFields
  extends Pick<CodyGatewayAccess, "subscriptionId" | "subscriptionDisplayName" | "enabled"> {
  readonly chatCompletionsRateLimit?: LimitFields | undefined;
  readonly codeCompletionsRateLimit?: LimitFields | undefined;
  readonly embeddingsRateLimit?: LimitFields | undefined;
  readonly accessTokens: readonly { readonly token: string }[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const accessField = numbersOf(CodyGatewayAccessSchema.field);
const limitField = numbersOf(CodyGatewayRateLimitSchema.field);

/** Throws when the bytes are no access. */
export function decodeAccess(bytes: Uint8Array): AccessFields {
  const reader = new BinaryReader(bytes);
  const tokens: { readonly token: string }[] = [];
  const access: Mutable<AccessFields> = {
    subscriptionId: "",
    subscriptionDisplayName: "",
    enabled: false,
    chatCompletionsRateLimit: undefined,
    codeCompletionsRateLimit: undefined,
    embeddingsRateLimit: undefined,
    accessTokens: tokens,
  };
  while (reader.pos < reader.len) {
    const [no, wireType] = reader.tag();
    if (no === accessField.subscriptionId) access.subscriptionId = text(reader, wireType);
    else if (no === accessField.subscriptionDisplayName) access.subscriptionDisplayName = text(reader, wireType);
    else if (no === accessField.enabled) access.enabled = varint(reader, wireType).bool();
    else if (no === accessField.accessTokens) tokens.push({ token: tokenWithin(reader, wireType) });
    else if (no === accessField.chatCompletionsRateLimit)
      access.chatCompletionsRateLimit = limitWithin(reader, wireType, access.chatCompletionsRateLimit);
    else if (no === accessField.codeCompletionsRateLimit)
      access.codeCompletionsRateLimit = limitWithin(reader, wireType, access.codeCompletionsRateLimit);
    else if (no === accessField.embeddingsRateLimit)
      access.embeddingsRateLimit = limitWithin(reader, wireType, access.embeddingsRateLimit);
    else reader.skip(wireType, no);
  }
  return access;
}

/** On top of what an earlier field of the same number said, as protobuf has it. */
function limitWithin(reader: BinaryReader, wireType: WireType, before: LimitFields | undefined): LimitFields {
  const end = endOf(reader, wireType);
  const limit: Mutable<LimitFields> = { limit: before?.limit ?? 0n, intervalDuration: before?.intervalDuration };
  while (reader.pos < end) {
    const [no, type] = reader.tag();
    if (no === limitField.limit) limit.limit = BigInt(varint(reader, type).uint64());
    else if (no === limitField.intervalDuration)
      limit.intervalDuration = durationWithin(reader, type, limit.intervalDuration);
    else reader.skip(type, no);
  }
  checkEnd(reader, end);
  return limit;
}

function durationWithin(
  reader: BinaryReader,
  wireType: WireType,
  before: LimitFields["intervalDuration"],
): NonNullable<LimitFields["intervalDuration"]> {
  const end = endOf(reader, wireType);
  let { seconds, nanos } = before ?? { seconds: 0n, nanos: 0 };
  while (reader.pos < end) {
    const [no, type] = reader.tag();
    if (no === 1) seconds = BigInt(varint(reader, type).int64());
    else if (no === 2) nanos = varint(reader, type).int32();
    else reader.skip(type, no);
  }
  checkEnd(reader, end);
  return { seconds, nanos };
}

function tokenWithin(reader: BinaryReader, wireType: WireType): string {
  const end = endOf(reader, wireType);
  let token = "";
  while (reader.pos < end) {
    const [no, type] = reader.tag();
    if (no === 1) token = text(reader, type);
    else reader.skip(type, no);
  }
  checkEnd(reader, end);
  return token;
}

function text(reader: BinaryReader, wireType: WireType): string {
  expect(wireType, WireType.LengthDelimited);
  return reader.string();
}

function varint(reader: BinaryReader, wireType: WireType): BinaryReader {
  expect(wireType, WireType.Varint);
  return reader;
}

function endOf(reader: BinaryReader, wireType: WireType): number {
  expect(wireType, WireType.LengthDelimited);
  const end = reader.uint32() + reader.pos;
  if (end > reader.len) throw new RangeError("a message is longer than what it is in");
  return end;
}

function checkEnd(reader: BinaryReader, end: number): void {
  if (reader.pos !== end) throw new RangeError("a field is longer than what it is in");
}

function expect(wireType: WireType, expected: WireType): void {
  if (wireType !== expected) throw new RangeError(`a field of wire type ${wireType}, expected ${expected}`);
}

function numbersOf<Name extends string>(fields: Readonly<Record<Name, { readonly number: number }>>) {
  const entries = Object.entries<{ readonly number: number }>(fields).map(([name, { number }]) => [name, number]);
  return Object.fromEntries(entries) as Record<Name, number>;
}
