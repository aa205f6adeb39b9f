import { defineConfig } from "vitest/config";

/** Long runs, outside of the suite: `npm run test:soak`. */
export default defineConfig({
  test: {
    include: ["test/soak/**/*.test.ts"],
    testTimeout: 1_800_000,
    hookTimeout: 60_000,
    pool: "forks",
    fileParallelism: false,
    globalSetup: ["test/helpers/build-process-files.ts"],
  },
});
