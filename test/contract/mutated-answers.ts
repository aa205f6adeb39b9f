// What back ends could tell, at random: whatever it is, a source takes what makes sense of it and goes on.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FoundActor, type ListedEntry, type Source, SourceError } from "../../src/actors/source.js";
import { createDotcomUsersSource } from "../../src/actors/sources/dotcom-users.js";
import { createEnterpriseSource } from "../../src/actors/sources/enterprise.js";
import { entryOf } from "../../src/actors/sources/enterprise-access.js";
import { createDemoDotcom, userToken } from "../../src/demo/dotcom.js";
import { createDemoPortal } from "../../src/demo/portal.js";
import { demoSubscriptions, demoUuid } from "../../src/demo/subscriptions.js";
import { createGraphqlClient } from "../../src/lib/graphql.js";
import { createHttpCaller } from "../../src/lib/http-caller.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { createChance, mutatedAccess, mutatedJson } from "../helpers/mutations.js";

const { signal } = new AbortController();
const clock = fakeClock();
const burst = { percentage: 50, windowMs: 10_000 };

/** What does not hold of an actor that must, whatever was told. */
function flawOf({ actor, tokens }: FoundActor): string | undefined {
  if (!plainId.test(actor.id)) return "its id";
  if (actor.name.length === 0 || actor.name.length > 400) return "its name";
  if (typeof actor.accessEnabled !== "boolean") return "its access";
  if (tokens?.some((token) => !/^slk_[0-9a-f]{64}$/.test(token))) return "its tokens";
  for (const { limits, models } of Object.values(actor.features)) {
    if (models.length === 0 || models.some((model) => typeof model !== "string" || model === "")) return "its models";
    for (const { amount, windowMs } of limits) {
      if (!Number.isSafeInteger(amount) || amount <= 0) return "an amount";
      if (!Number.isSafeInteger(windowMs) || windowMs < 1_000) return "a window";
    }
  }
  return undefined;
}

const plainId = /^[A-Za-z0-9][\w.-]{0,99}$/;

function flawOfEntry(entry: ListedEntry): string | undefined {
  if (entry.kind === "actor") return flawOf(entry);
  if (!/^[a-z][\w ]+$/.test(entry.problem)) return "its problem";
  return entry.id === undefined || plainId.test(entry.id) ? undefined : "the id of what is wrong";
}

function expectFit(entries: readonly ListedEntry[]): void {
  expect(entries.map(flawOfEntry).filter((flaw) => flaw !== undefined)).toEqual([]);
}

/** Asks so often for answers that make no sense, or hardly any. */
export function describeMutatedAnswers(rounds: number, timeoutMs: number): void {
  describe(`${rounds} mutated answers`, { timeout: timeoutMs }, () => {
    const portal = createDemoPortal();
    const dotcom = createDemoDotcom({ accessToken: "sgp_x" });
    let enterprise: Source;
    let users: Source;
    beforeAll(async () => {
      await Promise.all([portal.listen(), dotcom.listen()]);
      enterprise = createEnterpriseSource({ clock }, { url: portal.url, protocol: "grpc", userAgent: "x", burst });
      const graphql = createGraphqlClient(
        { caller: createHttpCaller("Sourcegraph.com") },
        { service: "Sourcegraph.com", apiUrl: dotcom.apiUrl, accessToken: "sgp_x", userAgent: "x" },
      );
      users = createDotcomUsersSource({ clock, graphql }, { burst, coolDownMs: 0 });
    });
    afterAll(() => Promise.all([enterprise.close?.(), users.close?.(), portal.close(), dotcom.close()]));

    async function list(): Promise<readonly ListedEntry[]> {
      const entries: ListedEntry[] = [];
      for await (const page of enterprise.list?.(signal) ?? []) entries.push(...page.entries);
      return entries;
    }

    it("of the Enterprise Portal, entry by entry", () => {
      const chance = createChance(1);
      const kinds = { actor: 0, invalid: 0 };
      for (let round = 0; round < rounds * 10; round++) {
        const entry = entryOf(mutatedAccess(chance, demoUuid(`${round}`)), {
          burst,
          perUser: {},
          now: new Date(0),
          shared: (_, make) => make(),
        });
        kinds[entry.kind]++;
        expectFit([entry]);
      }
      // Neither all nor nothing: the mutations reach what they are meant for.
      expect(Math.min(kinds.actor, kinds.invalid)).toBeGreaterThan(rounds);
    });

    it("of the Enterprise Portal, listing by listing, spoil no other entry", async () => {
      const chance = createChance(2);
      const good = demoSubscriptions(4);
      portal.set(good);
      for (let round = 0; round < rounds; round++) {
        const spoilt = Array.from({ length: 1 + chance.below(3) }, () => mutatedAccess(chance, demoUuid("spoilt")));
        portal.distort((page) => {
          page.$unknown = spoilt.map((bytes) => ({ no: 2, wireType: 2, data: withLength(bytes) }));
        });

        const entries = await list();

        expectFit(entries);
        expect(entries).toHaveLength(good.length + spoilt.length);
        const ids = entries.flatMap((entry) => (entry.kind === "actor" ? [entry.actor.id] : []));
        expect(ids).toEqual(expect.arrayContaining(good.map(({ id }) => id)));
      }
      portal.distort(undefined);
      expect(await list()).toHaveLength(good.length);
    });

    it("of the Enterprise Portal as a whole end the listing, and nothing else", async () => {
      const chance = createChance(3);
      let ended = 0;
      for (let round = 0; round < rounds / 3; round++) {
        portal.fail({ kind: "garbage", bytes: frame(mutatedAccess(chance, demoUuid("spoilt")), chance) }, { times: 1 });
        const outcome = await list().catch((error: unknown) => error as Error);
        if (Array.isArray(outcome)) expectFit(outcome);
        else {
          ended++;
          expect(outcome).toBeInstanceOf(SourceError);
        }
      }
      expect(ended).toBeGreaterThan(0);
      portal.heal();
      expect(await list()).toHaveLength(4);
    });

    it("of Sourcegraph.com", async () => {
      const chance = createChance(4);
      dotcom.set({ id: 42, username: "ada" });
      let found = 0;
      let failed = 0;
      for (let round = 0; round < rounds; round++) {
        dotcom.distort((answer) => mutatedJson(chance, answer) ?? {});
        const outcome = await users.lookup(userToken(42), signal).catch((error: unknown) => error as Error);
        if (outcome instanceof Error) {
          failed++;
          expect(outcome).toBeInstanceOf(SourceError);
        } else if (outcome) {
          found++;
          expect(flawOf(outcome)).toBeUndefined();
        } else expect.unreachable("nobody said that there is no such user");
      }
      expect(Math.min(found, failed)).toBeGreaterThan(rounds / 20);
      dotcom.distort(undefined);
      expect(await users.lookup(userToken(42), signal)).toMatchObject({ actor: { id: "42" } });
    });
  });
}

function withLength(bytes: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let left = bytes.length; ; left >>>= 7) {
    if (left < 128) return Buffer.concat([Uint8Array.of(...length, left), bytes]);
    length.push((left & 127) | 128);
  }
}

/** As a message of gRPC: sometimes with a length that lies. */
function frame(bytes: Uint8Array, chance: { below(max: number): number }): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt8(chance.below(8) === 0 ? chance.below(256) : 0, 0);
  head.writeUInt32BE(chance.below(4) === 0 ? chance.below(2 ** 32) : bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
