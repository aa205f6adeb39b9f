import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import { CodyGatewayAccessSchema } from "../../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";
import { decodeAccess } from "../../../src/actors/sources/enterprise-decode.js";

const limit = fc.option(
  fc.record({
    source: fc.constantFrom(0, 1, 2),
    limit: fc.bigInt(0n, 2n ** 64n - 1n),
    intervalDuration: fc.option(fc.record({ seconds: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), nanos: fc.integer() }), {
      nil: undefined,
    }),
  }),
  { nil: undefined },
);

const access = fc.record({
  subscriptionId: fc.string(),
  subscriptionDisplayName: fc.string({ unit: "grapheme" }),
  enabled: fc.boolean(),
  accessTokens: fc.array(fc.record({ token: fc.string() })),
  chatCompletionsRateLimit: limit,
  codeCompletionsRateLimit: limit,
  embeddingsRateLimit: limit,
});

function bytesOf(given: object): Uint8Array {
  return toBinary(CodyGatewayAccessSchema, create(CodyGatewayAccessSchema, given));
}

/** What the schema's own reader says, as far as it is read by hand. */
function reference(bytes: Uint8Array): object {
  const read = fromBinary(CodyGatewayAccessSchema, bytes);
  const limitOf = (field: typeof read.chatCompletionsRateLimit) =>
    field && {
      limit: field.limit,
      intervalDuration: field.intervalDuration && {
        seconds: field.intervalDuration.seconds,
        nanos: field.intervalDuration.nanos,
      },
    };
  return {
    subscriptionId: read.subscriptionId,
    subscriptionDisplayName: read.subscriptionDisplayName,
    enabled: read.enabled,
    accessTokens: read.accessTokens.map(({ token }) => ({ token })),
    chatCompletionsRateLimit: limitOf(read.chatCompletionsRateLimit),
    codeCompletionsRateLimit: limitOf(read.codeCompletionsRateLimit),
    embeddingsRateLimit: limitOf(read.embeddingsRateLimit),
  };
}

const unknownField = Uint8Array.of(0xf2, 0x06, 3, 1, 2, 3);

it("reads what the schema's own reader does, also fields that come twice or are not known", () => {
  fc.assert(
    fc.property(access, access, (one, other) => {
      const bytes = Buffer.concat([bytesOf(one), unknownField, bytesOf(other)]);

      expect(decodeAccess(bytes)).toEqual(reference(bytes));
    }),
  );
});

it("reads no access of which the end is missing, or that is of other types", () => {
  const bytes = bytesOf({ accessTokens: [{ token: "a token" }], chatCompletionsRateLimit: { limit: 300n } });
  const whole = [bytes.length];
  for (let end = 0; end <= bytes.length; end++) {
    const read = (): unknown => decodeAccess(bytes.subarray(0, end));
    try {
      expect(read()).toEqual(reference(bytes.subarray(0, end)));
      whole.push(end);
    } catch {
      expect(read).toThrow();
    }
  }
  // Between fields, and nowhere else.
  expect(new Set(whole).size).toBe(3);
  expect(() => decodeAccess(Uint8Array.of(0x08, 1))).toThrow("a field of wire type 0, expected 2");
  expect(() => decodeAccess(Uint8Array.of(0x12, 1, 1))).toThrow("a field of wire type 2, expected 0");
});
