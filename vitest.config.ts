import { configDefaults, defineConfig } from "vitest/config";

/** Files that start several processes, or that Redis must answer in time: they run one after another, when the rest is done. */
const alone = ["test/redis/**/*.test.ts", "test/**/redis-{cluster,faults,network,processes}.test.ts"];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
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
          exclude: [...configDefaults.exclude, "test/soak/**", ...alone],
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: { name: "alone", include: alone, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
