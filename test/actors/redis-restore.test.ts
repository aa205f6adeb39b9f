import { expect, it, onTestFinished } from "vitest";
import { createMemoryActorStore } from "../../src/actors/memory-store.js";
import { createRestore } from "../../src/actors/redis-restore.js";
import type { StoreRecord } from "../../src/actors/store.js";
import { UnavailableError } from "../../src/errors.js";
import { recordingListener } from "../helpers/store-listener.js";

it("what was lost is written by the next who comes, at once, when one could not write it all", async () => {
  const { acquire, close } = createMemoryActorStore({ clock: { now: Date.now } });
  onTestFinished(close);
  const written: StoreRecord[] = [];
  let isAway = true;
  let era = "";
  const restore = createRestore({
    acquire,
    isLost: async () => era === "",
    keepAgain: async () => {},
    async fill(records) {
      if (isAway) throw new UnavailableError("ACTOR_STORE_UNAVAILABLE", "away", 1_000);
      written.push(...records);
    },
    async begin(name) {
      era = name;
      return era;
    },
    onRestored: () => {},
  });
  const known = { kind: "actors", key: "portal/a", value: "1" } as const;
  const listener = { ...recordingListener(), records: () => [known] };

  await expect(restore.restore(listener)).rejects.toThrow("away");
  isAway = false;

  expect(await restore.restore(listener)).toBe(true);
  expect(written).toEqual([known]);
  expect(era).not.toBe("");
});
