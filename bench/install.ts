// Makes sure that the programs the benchmarks need are there: `tsx bench/install.ts`.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Program → the Debian package that brings it. */
const packages = {
  nginx: "nginx-light",
  wrk: "wrk",
  h2load: "nghttp2-client",
  cc: "gcc",
  "redis-server": "redis-server",
} as const;

/** A program the benchmarks run. */
export type Tool = keyof typeof packages;

/** Where the peer is installed. */
export const portkeyFolder = fileURLToPath(new URL(".portkey", import.meta.url));

/**
 * The paths of these programs. Installs the missing ones where that is possible: as root, with Debian's packages. Throws with
 * what to install where it is not.
 */
export function requireTools<const T extends Tool>(tools: readonly T[]): Record<T, string> {
  const missing = tools.filter((tool) => find(tool) === undefined);
  if (missing.length > 0) {
    const wanted = missing.flatMap((tool) => (tool === "cc" ? [packages.cc, "libc6-dev"] : [packages[tool]]));
    if (process.getuid?.() !== 0 || find("apt-get") === undefined)
      throw new Error(`the benchmarks need ${missing.join(", ")}: install ${wanted.join(" ")} (Debian's names)`);
    console.error(`installing ${wanted.join(" ")}`);
    // nginx must not be started by its package: the benchmarks start their own.
    const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
    spawnSync("apt-get", ["update"], { stdio: "ignore", env: environment });
    execFileSync("apt-get", ["install", "-y", "--no-install-recommends", ...wanted], {
      stdio: "ignore",
      env: environment,
    });
  }
  return Object.fromEntries(
    tools.map((tool) => {
      const path = find(tool);
      if (path === undefined) throw new Error(`${tool} is still missing after the installation of ${packages[tool]}`);
      return [tool, path];
    }),
  ) as Record<T, string>;
}

/** Installs the peer, in a folder of its own, unless it is there. */
export function requirePortkey(): string {
  const entry = join(portkeyFolder, "node_modules/@portkey-ai/gateway/build/start-server.js");
  if (!existsSync(entry)) {
    console.error("installing @portkey-ai/gateway");
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"], {
      cwd: portkeyFolder,
      stdio: "ignore",
    });
  }
  if (!existsSync(entry)) throw new Error("@portkey-ai/gateway could not be installed");
  return entry;
}

/** The full path of a program, if there is one. */
export function find(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(requireTools(Object.keys(packages) as Tool[]));
  console.log(requirePortkey());
}
