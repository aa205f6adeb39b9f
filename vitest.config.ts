import { configDefaults, defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

/** Files that keep several processes busy, or compare how long these take: two at a time, when the rest is done. */
const several = ["test/redis/{decisions,in-flight,killed,store-away}.test.ts"];

const all: NonNullable<TestProjectInlineConfiguration["test"]> = {
  testTimeout: 120_000,
  hookTimeout: 180_000,
  // Polls wait for what must come: on a busy machine that takes its time.
  expect: { poll: { timeout: 30_000, interval: 10 } },
  pool: "forks",
  // Files share processes, and with them what they import: a third of the time otherwise goes into that.
  isolate: false,
  setupFiles: ["test/helpers/leave-nothing.ts"],
  maxConcurrency: 30,
};

export default defineConfig({
  test: {
    // Of the run, not of each project: once.
    globalSetup: ["test/helpers/build-process-files.ts"],
    projects: [
      {
        test: {
          ...all,
          name: "suite",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, "test/soak/**", ...several],
          // Many wait for most of their time.
          maxWorkers: 3,
        },
      },
      { test: { ...all, name: "several", include: several, maxWorkers: 2, sequence: { groupOrder: 1 } } },
    ],
  },
});
