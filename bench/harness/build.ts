// Builds what the benchmarks run: the Node parties, the native load and upstream.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { requireTools } from "../install.js";

/** The project's root. */
export const root = join(import.meta.dirname, "../..");
/** Where the bench's own programs are built. */
export const buildFolder = join(root, "bench/.build");
/** The gateway's entry point, as `npm run build` makes it. */
export const gatewayEntry = join(root, "dist/bin/cody-gateway.js");

/** Builds what the benchmarks bring themselves; the gateway must have been built before. */
export function build(): void {
  mkdirSync(buildFolder, { recursive: true });
  const { cc } = requireTools(["cc"]);
  for (const name of ["upstream", "streams"]) {
    const source = join(root, "bench/load", `${name}.c`);
    execFileSync(cc, ["-O2", "-Wall", "-o", join(buildFolder, name), source], { stdio: "inherit" });
  }
  compile("bench/tsconfig.json", join(buildFolder, "bench/parties/bare.js"));
}

function compile(project: string, result: string): void {
  const tsc = join(root, "node_modules/.bin/tsc");
  const { status, stdout } = spawnSync(tsc, ["-p", project], { cwd: root, encoding: "utf8" });
  if (status !== 0) console.error(stdout);
  if (!existsSync(result)) throw new Error(`${project} could not be compiled`);
}
