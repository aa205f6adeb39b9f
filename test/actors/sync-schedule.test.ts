import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { syncRecord } from "../../src/actors/records.js";
import type { ActorStore } from "../../src/actors/store.js";
import type { scriptedSource } from "../helpers/scripted-source.js";
import { allOfTime, leap, pass, settled } from "../helpers/time.js";
import { all, intervalMs, setUp } from "./sync-setup.js";

// All of time is the test's: it passes in `settled` and `pass`.

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...allOfTime] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("syncs on schedule", () => {
  it("begin at once, then come at the interval", async () => {
    const { source, start } = await setUp();
    const syncs = start("one");
    syncs.start();

    await pass(1_000);
    expect(source.listings).toBe(1);
    await pass(intervalMs * 0.85);
    expect(source.listings).toBe(1);
    await pass(intervalMs * 0.3);
    expect(source.listings).toBe(2);
    await pass(intervalMs * 10);
    expect(source.listings).toBeGreaterThanOrEqual(10);
    expect(source.listings).toBeLessThanOrEqual(13);
    await settled(syncs.close());
  });

  it("are done by one of several processes, also when all start together", async () => {
    const { source, start } = await setUp();
    const processes = ["one", "two", "three", "four"].map((process) => start(process));
    for (const syncs of processes) syncs.start();

    await pass(5_000);
    expect(source.listings).toBe(1);
    await pass(intervalMs * 10);
    expect(source.listings).toBeLessThanOrEqual(13);
    await settled(Promise.all(processes.map((syncs) => syncs.close())));
  });

  it("do not begin anew at a start within the interval", async () => {
    const { source, start } = await setUp();
    await all(start("one").sync("portal"));

    const syncs = start("two");
    syncs.start();
    await pass(10_000);

    expect(source.listings).toBe(1);
    await settled(syncs.close());
  });

  it("come at a shorter interval as soon as that is set, and at the shortest where processes differ", async () => {
    const { source, store, start } = await setUp();
    const rare = start("one", store, 24 * 3_600_000);
    rare.start();
    await pass(1_000);
    expect(source.listings).toBe(1);

    const frequent = start("two");
    frequent.start();
    await pass(intervalMs * 1.2);
    expect(source.listings).toBe(2);
    await pass(intervalMs * 10);
    expect(source.listings).toBeGreaterThanOrEqual(11);
    expect(source.listings).toBeLessThanOrEqual(14);
    await settled(Promise.all([rare.close(), frequent.close()]));
  });

  it("come at once under another pepper, but not again and again where processes have different ones", async () => {
    const { source, start, messages } = await setUp();
    const one = start("one");
    one.start();
    await pass(1_000);
    expect(source.listings).toBe(1);

    const other = start("two", undefined, undefined, "q");
    other.start();
    await pass(5_000);
    // One for the pepper of each.
    expect(source.listings).toBe(3);
    await pass(intervalMs * 10);
    expect(source.listings).toBeGreaterThanOrEqual(12);
    expect(source.listings).toBeLessThanOrEqual(15);
    // Once by each who hears of it: whether the first does depends on who syncs.
    const warnings = messages().filter((message) => message.includes("another token pepper"));
    expect([1, 2]).toContain(warnings.length);
    await settled(Promise.all([one.close(), other.close()]));
  });

  it("come a few seconds after a machine goes on that was suspended for long", async () => {
    const { source, start } = await setUp();
    const syncs = start("one");
    syncs.start();
    await pass(1_000);
    leap(25 * 3_600_000);

    await pass(6_000);
    expect(source.listings).toBe(2);
    await settled(syncs.close());
  });

  it("go on when the clock was set back, and take over what changed and what is gone", async () => {
    const { clock, source, start, directory } = await setUp();
    const syncs = start("one");
    syncs.start();
    await pass(1_000);
    source.set("a1", { accessEnabled: false });
    source.actors.delete("a2");
    leap(-365 * 24 * 3_600_000);

    await pass(6_000);
    expect(source.listings).toBe(2);
    expect(directory.get("portal", "a1")?.actor.accessEnabled).toBe(false);
    expect(directory.get("portal", "a2")).toBeUndefined();
    expect(directory.get("portal", "a3")?.told.updatedAt.getTime()).toBeLessThanOrEqual(clock.now());
    await pass(intervalMs * 10);
    expect(source.listings).toBeLessThanOrEqual(14);
    await settled(syncs.close());
  });

  it("are taken up when a process died before the clock was set back", async () => {
    const { source, store, start, directory, clock } = await setUp();
    const counts = { pages: 0, seen: 0, added: 0, changed: 0, unchanged: 0, removed: 0, quarantined: 0 };
    const at = clock.now() + 3_600_000;
    const running = { id: "1", startedAt: at, process: "dead", dryRun: false, allowShrink: false, counts };
    await settled(store.write([syncRecord("portal", { running: { ...running, until: at + 10_000 } })]));

    const syncs = start("two");
    syncs.start();
    await pass(2_000);

    expect(source.listings).toBe(1);
    expect(directory.count("portal")).toBe(30);
    await settled(syncs.close());
  });

  it("are tried again ever more rarely while they fail, up to the interval", async () => {
    const { source, start, messages } = await setUp();
    source.beforePage = async () => {
      throw Object.assign(new Error("connect ECONNREFUSED 10.0.0.1:443"), { code: "ECONNREFUSED" });
    };
    const syncs = start("one");
    syncs.start();

    await pass(1_000);
    expect(syncs.state("portal")).toMatchObject({
      failures: 1,
      last: { outcome: "failed", error: "connection refused" },
    });
    expect(syncs.state("portal").completedAt).toBeUndefined();
    await pass(12_000);
    expect(source.listings).toBe(2);
    await pass(24_000);
    expect(source.listings).toBe(3);
    await pass(3_600_000);
    expect(source.listings).toBeLessThanOrEqual(38);
    expect(messages()).toContain("sync failed");

    source.beforePage = async () => {};
    await pass(intervalMs * 1.2);
    expect(syncs.state("portal")).toMatchObject({ failures: 0, last: { outcome: "succeeded" } });
    await settled(syncs.close());
  });

  it("give up on a source that does not go on, and leave what is known", async () => {
    const { source, directory, start } = await setUp();
    source.pageSize = 10;
    block(source);
    const syncs = start("one");
    syncs.start();

    await pass(62_000);

    expect(syncs.state("portal").last).toMatchObject({ outcome: "failed", error: "no answer in time" });
    expect(directory.count("portal")).toBe(10);
    await settled(syncs.close());
  });

  it("wait for a source that says that it goes on, for as long as it takes", async () => {
    const { source, directory, start } = await setUp();
    const { list } = source;
    source.list = async function* (signal) {
      for (let at = 0; at < 5; at++) {
        await new Promise((resolve) => setTimeout(resolve, 50_000));
        yield { entries: [] };
      }
      yield* list(signal);
    };
    const syncs = start("one");
    syncs.start();

    await pass(255_000);

    expect(syncs.state("portal").last).toMatchObject({ outcome: "succeeded", counts: { pages: 1, seen: 30 } });
    expect(directory.count("portal")).toBe(30);
    await settled(syncs.close());
  });

  it("are canceled when their process stops, and taken up by another one at once", async () => {
    const { source, start, directory } = await setUp();
    source.pageSize = 10;
    block(source);
    const first = start("one");
    first.start();
    await pass(1_000);

    await settled(first.close());
    expect(first.state("portal").last).toMatchObject({ outcome: "canceled", process: "one" });

    source.beforePage = async () => {};
    const second = start("two");
    second.start();
    await pass(2_000);
    expect(directory.count("portal")).toBe(30);
    await settled(second.close());
  });

  it("are taken up by another process when theirs dies", async () => {
    const { source, store, start, directory } = await setUp();
    source.pageSize = 10;
    block(source);
    let dead = false;
    const frozen = new Promise<never>(() => {});
    const dying: ActorStore = {
      ...store,
      write: (...args) => (dead ? frozen : store.write(...args)),
      acquire: async (...args) => {
        const lease = await (dead ? frozen : store.acquire(...args));
        const extend = lease?.extend ?? (async () => false);
        return lease && Object.assign(lease, { extend: () => (dead ? frozen : extend()) });
      },
    };
    start("one", dying).start();
    await pass(1_000);
    dead = true;
    source.beforePage = async () => {};
    const second = start("two");
    second.start();

    await pass(15_000);

    expect(second.state("portal").last).toMatchObject({ outcome: "succeeded", process: "two" });
    expect(directory.count("portal")).toBe(30);
    await settled(second.close());
  });
});

/** Listings stop before their second page, for good. */
function block(source: ReturnType<typeof scriptedSource>): void {
  source.beforePage = (pages) => (pages === 1 ? new Promise(() => {}) : Promise.resolve());
}
