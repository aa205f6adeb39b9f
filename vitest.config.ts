import { configDefaults, defineConfig } from "vitest/config";

/** Files that start several processes, and wait for them for most of their time: two at a time, when the rest is done. */
const several = ["test/redis/{canary,decisions,in-flight,killed}.test.ts", "test/**/redis-{cluster,processes}.test.ts"];
/** Files that say how soon something must happen: one after another, when all else is done. */
const alone = ["test/redis/{actors,store-away}.test.ts", "test/**/redis-{faults,network}.test.ts"];

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // Polls wait for what must come: on a busy machine that takes its time.
    expect: { poll: { timeout: 30_000, interval: 10 } },
    pool: "forks",
    // Files share processes, and with them what they import: a third of the time otherwise goes into that.
    isolate: false,
    setupFiles: ["test/helpers/leave-nothing.ts"],
    maxConcurrency: 30,
    projects: [
      {
        extends: true,
        test: {
          name: "suite",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, "test/soak/**", ...several, ...alone],
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: { name: "several", include: several, maxWorkers: 2, sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: { name: "alone", include: alone, maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
    ],
  },
});
