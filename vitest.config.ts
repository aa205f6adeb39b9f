import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Files that take longest, each for ten seconds and more: begun first, those that keep the machine busy beside those that wait.
 * A checkout that is new knows of no file how long it takes, and the run would end with one of them alone.
 */
const longest = [
  "test/redis/in-flight.test.ts",
  "test/actors/redis-faults.test.ts",
  "test/redis/store-away.test.ts",
  "test/quota/journal-store.test.ts",
  "test/redis/killed.test.ts",
  "test/e2e/back-ends.test.ts",
  "test/redis/workers.test.ts",
  "test/e2e/upstream-outage.test.ts",
  "test/redis/decisions.test.ts",
  "test/quota/redis-faults.test.ts",
  "test/redis/actors.test.ts",
  "test/e2e/stalled-readers.test.ts",
  "test/redis/canary.test.ts",
  "test/docs/readme.test.ts",
  "test/quota/redis-store.test.ts",
  "test/e2e/cuts.test.ts",
  "test/actors/redis-store.test.ts",
  "test/e2e/data-dir.test.ts",
  "test/lib/database.test.ts",
  "test/e2e/rpc.test.ts",
  "test/e2e/endings.test.ts",
];

const missing = longest.filter((file) => !existsSync(join(import.meta.dirname, file)));
if (missing.length > 0) throw new Error(`vitest.config.ts names files that are not there: ${missing.join()}`);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const others = await BaseSequencer.prototype.sort.call(this, files);
    const placeOf = ({ moduleId }: TestSpecification): number => {
      const place = longest.indexOf(relative(this.ctx.config.root, moduleId));
      return place === -1 ? longest.length : place;
    };
    return others.toSorted((one, other) => placeOf(one) - placeOf(other));
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "test/soak/**"],
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // Polls wait for what must come: on a busy machine that takes its time.
    expect: { poll: { timeout: 30_000, interval: 10 } },
    pool: "forks",
    // Files share processes, and with them what they import: a third of the time otherwise goes into that.
    isolate: false,
    // Many wait for most of their time.
    maxWorkers: 3,
    maxConcurrency: 30,
    sequence: { sequencer: LongestFirst },
    globalSetup: ["test/helpers/build-process-files.ts"],
    setupFiles: ["test/helpers/leave-nothing.ts"],
  },
});
