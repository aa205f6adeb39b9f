// Before the first test: what tests start as processes beside the gateway, each made one file, as the gateway is. To read a
// thousand modules one by one takes a core most of a second whenever one is started.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import type { TestProject } from "vitest/node";
import { processSources } from "./process-files.js";

const root = resolve(import.meta.dirname, "../..");
/** Below node_modules, where packages that cannot be part of a file are found. */
const cache = join(root, "node_modules/.cache");

/** A name that is nobody else's. */
const own = "createRequireOfThisFile";

/** Called by Vitest; what it returns is called after the last test. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "processes-"));
  const files = join(folder, "src");
  await build({
    absWorkingDir: root,
    // A thread's file lies beside what starts it.
    entryPoints: { ...processSources, "database-worker": "src/lib/database-worker.js" },
    outdir: files,
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["libsql", "gpt-tokenizer"],
    // Packages in CommonJS ask for it.
    banner: { js: `import { createRequire as ${own} } from "node:module";\nconst require = ${own}(import.meta.url);` },
    logLevel: "warning",
  });
  project.provide("processFiles", files);
  return () => rm(folder, { recursive: true, force: true });
}
