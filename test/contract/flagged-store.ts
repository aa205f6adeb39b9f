import { beforeEach, describe, expect, it } from "vitest";
import type { FlaggedRequest, FlaggedStore } from "../../src/guard/flagged.js";

export function flaggedRequest(over: Partial<FlaggedRequest> = {}): FlaggedRequest {
  return {
    key: "prompt:t1:chat_completions:42",
    traceId: "t1",
    feature: "chat_completions",
    actor: { source: "dotcom-user", id: "42" },
    model: "openai/gpt-4o",
    reasons: ["blocked_phrase"],
    blocked: true,
    promptBytes: 7,
    at: Date.now(),
    expiresAt: Date.now() + 60_000,
    ...over,
  };
}

const most = 3;

/** What every store of flagged prompts must do. `after` lets so much time pass. */
export function describeFlaggedStore(
  name: string,
  make: () => Promise<{
    readonly store: FlaggedStore;
    readonly after: (ms: number) => Promise<void>;
    readonly now: () => number;
  }>,
): void {
  describe(`${name} as a store of flagged prompts`, () => {
    let store: FlaggedStore;
    let after: (ms: number) => Promise<void>;
    let now: () => number;
    beforeEach(async () => ({ store, after, now } = await make()));

    /** The n-th of some, each flagged a millisecond after the one before. */
    const nth = (n: number, over: Partial<FlaggedRequest> = {}): FlaggedRequest =>
      flaggedRequest({ key: `prompt:t${n}:chat_completions:42`, at: now() + n, expiresAt: now() + 60_000, ...over });

    it("gives back what it was given, and nothing else", async () => {
      const odd = nth(1, { key: 'prompt:t:chat_completions:a:b}{"c\n' });
      await store.put(odd, "sealed 1", most);
      await store.put(nth(2), "sealed 2", most);

      expect(await store.get(odd.key)).toEqual({ request: odd, sealed: "sealed 1" });
      expect(await store.get("prompt:t1:chat_completions:41")).toBeUndefined();
      expect(await store.get("index")).toBeUndefined();
    });

    it("lists the newest first", async () => {
      expect(await store.list()).toEqual([]);
      for (const n of [1, 2, 3]) await store.put(nth(n), "sealed", most);

      expect(await store.list()).toEqual(
        [nth(3), nth(2), nth(1)].map((each) => expect.objectContaining({ key: each.key }) as FlaggedRequest),
      );
    });

    it("has each key once", async () => {
      await store.put(nth(1), "old", most);
      await store.put(nth(1, { blocked: false }), "new", most);

      expect((await store.list()).map(({ blocked }) => blocked)).toEqual([false]);
      expect(await store.get(nth(1).key)).toMatchObject({ sealed: "new" });
    });

    it("keeps so many and no more: the oldest go", async () => {
      for (const n of [1, 2, 3, 4, 5]) await store.put(nth(n), "sealed", most);

      expect((await store.list()).map(({ key }) => key)).toEqual([5, 4, 3].map((n) => nth(n).key));
      expect(await store.get(nth(2).key)).toBeUndefined();
      expect(await store.get(nth(3).key)).toBeDefined();
    });

    it("forgets what has expired", async () => {
      await store.put(nth(1, { expiresAt: now() + 100 }), "sealed", most);
      await store.put(nth(2), "sealed", most);
      await after(150);

      expect((await store.list()).map(({ key }) => key)).toEqual([nth(2).key]);
      expect(await store.get(nth(1).key)).toBeUndefined();
    });
  });
}
