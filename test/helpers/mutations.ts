// What back ends tell, changed at random: always the same for the same seed.

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { CodyGatewayAccessSchema } from "../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";
import { accessOf, demoToken } from "../../src/demo/subscriptions.js";

/** Picks at random. */
export interface Chance {
  /** From 0 up to, not including, `max`. */
  below(max: number): number;
  of<T>(choices: readonly T[]): T;
}

export function createChance(seed: number): Chance {
  let state = seed >>> 0;
  const below = (max: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * max);
  };
  return { below, of: (choices) => choices[below(choices.length)] as (typeof choices)[number] };
}

type Access = MessageInitShape<typeof CodyGatewayAccessSchema>;

const texts = [
  "",
  " ",
  "a".repeat(5_000),
  "\u0000",
  "\ud800",
  "💥",
  "__proto__",
  "constructor",
  "es_",
  "es_ ",
  "../../x",
  "a/b:c",
];
const amounts = [0n, 1n, 2n ** 31n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
const tooManyTokens = Array.from({ length: 1_001 }, (_, at) => ({ token: demoToken(`${at}`) }));
const seconds = [0n, 1n, -1n, 2n ** 31n, 315_576_000_000n, -315_576_000_001n, 2n ** 63n - 1n, -(2n ** 63n)];
const nanos = [0, -1, 1, 999_999_999, 1_000_000_000, -2_147_483_648, 2_147_483_647];

/** The bytes of a subscription's entry with something wrong in it, or with something rare. */
export function mutatedAccess(chance: Chance, id: string): Uint8Array {
  const access = { ...accessOf({ id }) } as Access;
  for (let changes = 1 + chance.below(3); changes > 0; changes--) changeField(chance, access);
  const bytes = encode(access);
  return chance.below(2) === 0 ? bytes : spoiltBytes(chance, bytes);
}

function encode(access: Access): Uint8Array {
  try {
    return toBinary(CodyGatewayAccessSchema, create(CodyGatewayAccessSchema, access));
  } catch {
    // No message can hold it, say half a surrogate.
    return toBinary(CodyGatewayAccessSchema, create(CodyGatewayAccessSchema, { subscriptionId: "es_x" }));
  }
}

function changeField(chance: Chance, access: Access): void {
  const limit = (): Access["chatCompletionsRateLimit"] =>
    chance.of([
      undefined,
      {},
      { limit: chance.of(amounts) },
      { limit: chance.of(amounts), intervalDuration: {} },
      { limit: chance.of(amounts), intervalDuration: { seconds: chance.of(seconds), nanos: chance.of(nanos) } },
      { source: chance.of([0, 7, -1, 2_147_483_647]), intervalDuration: { seconds: chance.of(seconds) } },
    ]) as Access["chatCompletionsRateLimit"];
  const token = (): string =>
    chance.of([...texts, "slk_", `slk_${"0".repeat(63)}`, `slk_${"g".repeat(64)}`, demoToken("x")]);
  const changes = [
    () => Object.assign(access, { subscriptionId: chance.of(texts) }),
    () => Object.assign(access, { subscriptionDisplayName: chance.of(texts) }),
    () => Object.assign(access, { enabled: chance.below(2) === 0 }),
    () => Object.assign(access, { chatCompletionsRateLimit: limit() }),
    () => Object.assign(access, { codeCompletionsRateLimit: limit() }),
    () => Object.assign(access, { embeddingsRateLimit: limit() }),
    () => Object.assign(access, { accessTokens: Array.from({ length: chance.below(4) }, () => ({ token: token() })) }),
    () => Object.assign(access, { accessTokens: chance.below(40) === 0 ? tooManyTokens : [] }),
  ];
  chance.of(changes)();
}

/** Bits flipped, bytes cut out, put in and cut off: other types, lengths that lie, texts that are none. */
function spoiltBytes(chance: Chance, bytes: Uint8Array): Uint8Array {
  const spoilt = Array.from(bytes.subarray(0, 2_000));
  for (let changes = 1 + chance.below(4); changes > 0; changes--) {
    const at = chance.below(Math.max(1, spoilt.length));
    const kind = chance.below(4);
    if (kind === 0) spoilt[at] = (spoilt[at] ?? 0) ^ (1 << chance.below(8));
    else if (kind === 1) spoilt.splice(at, 1 + chance.below(8));
    else if (kind === 2) spoilt.splice(at, 0, chance.below(256), chance.below(256));
    else spoilt.length = at;
  }
  return Uint8Array.from(spoilt);
}

const scalars: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  0,
  -1,
  1,
  1.5,
  1e308,
  -0,
  2 ** 53,
  "",
  "1",
  "-1",
  "1e9",
  "NaN",
];
const oddities: readonly unknown[] = [
  "9".repeat(20),
  [],
  [null],
  [[]],
  {},
  { length: 1 },
  "a".repeat(10_000),
  "__proto__",
  { toString: 1 },
];
const values: readonly unknown[] = [...scalars, ...oddities];

/** A copy of a JSON value in which something stands that should not, or is missing. */
export function mutatedJson(chance: Chance, value: unknown): unknown {
  const entries = typeof value === "object" && value !== null ? Object.keys(value) : [];
  if (entries.length === 0 || chance.below(8) === 0) return chance.of(values);
  const at = chance.of(entries);
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string, unknown>;
  if (chance.below(12) === 0) delete copy[at];
  else copy[at] = mutatedJson(chance, copy[at]);
  return copy;
}
