// Who may import whom: the table of the architecture, held against every import in src/.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const src = resolve(import.meta.dirname, "../src");

/** Layer → layers it may import, besides itself. `*` is anything. */
const allowed: Record<string, readonly string[]> = {
  lib: [],
  errors: [],
  actors: ["lib", "errors", "gen"],
  quota: ["lib", "errors", "actors"],
  providers: ["lib", "errors", "gen"],
  models: ["lib", "errors", "gen"],
  guard: ["lib", "errors", "gen"],
  upstream: ["lib", "errors", "providers", "models"],
  usage: ["lib", "errors", "actors", "providers"],
  telemetry: ["lib", "errors"],
  relay: ["lib", "errors", "actors", "quota", "providers", "models", "upstream", "usage", "guard"],
  auth: ["lib", "errors", "actors", "gen"],
  api: ["lib", "errors", "actors", "auth", "quota", "models", "usage", "relay", "gen"],
  http: ["lib", "errors", "actors", "auth", "quota", "models", "usage", "relay", "gen"],
  server: ["lib", "errors", "auth", "api", "http"],
  client: ["gen"],
  demo: ["lib", "gen", "providers"],
  cli: ["lib", "client", "gen", "config", "gateway", "demo"],
  config: ["*"],
  gateway: ["*"],
  main: ["*"],
};

/** Layers of which only types may be imported. */
const typesOnly: Record<string, readonly string[]> = {
  models: ["gen"],
  guard: ["gen"],
  usage: ["providers"],
  demo: ["providers"],
};

interface Import {
  readonly file: string;
  readonly target: string;
  readonly typeOnly: boolean;
  /** Only when it is come to: `await import(…)`. */
  readonly dynamic: boolean;
}

const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => /\.[jt]s$/.test(name));

const imports: readonly Import[] = files.flatMap((file) => {
  const text = readFileSync(join(src, file), "utf8");
  const statement =
    /(?:^|\n)\s*(?:import|export)\s+(type\s)?[^;"']*?from\s+["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g;
  return [...text.matchAll(statement)].map(([whole, type, from, dynamic]) => ({
    file,
    target: from ?? dynamic ?? "",
    typeOnly: type !== undefined || namesOnlyTypes(whole),
    dynamic: dynamic !== undefined,
  }));
});

/** `import { type A, type B } from …`. */
function namesOnlyTypes(statement: string): boolean {
  const names = /\{([^}]*)\}/.exec(statement)?.[1];
  if (names === undefined) return false;
  const parts = names.split(",").map((part) => part.trim());
  return parts.filter(Boolean).every((part) => part.startsWith("type "));
}

/** `relay-plan.ts` is of the layer `relay`, `actors/sources/static.ts` of `actors`. */
function layerOf(path: string): string {
  const [first = ""] = path.split("/");
  return first.replace(/(-[a-z-]+)?\.[jt]s$/, "");
}

/** The file of a relative import. */
function fileOf({ file, target }: Pick<Import, "file" | "target">): string {
  return relative(src, resolve(src, dirname(file), target)).replace(/\.js$/, ".ts");
}

function targetLayer({ file, target }: Import): string | undefined {
  if (!target.startsWith(".")) return undefined;
  const path = fileOf({ file, target });
  return path.startsWith("../gen/") ? "gen" : path.startsWith("..") ? path : layerOf(path);
}

/** The files that are loaded with these, and what they import. */
function loadedBy(...first: readonly string[]): { loaded: readonly string[]; reached: readonly Import[] } {
  const loaded = new Set(first);
  const reached: Import[] = [];
  for (const file of loaded) {
    const atOnce = imports.filter((each) => each.file === file && !each.typeOnly && !each.dynamic);
    for (const { target } of atOnce) if (target.startsWith(".")) loaded.add(fileOf({ file, target }));
    reached.push(...atOnce);
  }
  return { loaded: [...loaded], reached };
}

const say = ({ file, target }: Import): string => `${file} imports ${target}`;

describe("layers", () => {
  it("finds the project's imports", () => {
    expect(imports.length).toBeGreaterThan(100);
  });

  it("have no import that the table does not allow", () => {
    const breaches = imports.filter((each) => {
      const from = layerOf(each.file);
      const to = targetLayer(each);
      if (to === undefined || to === from || allowed[from]?.includes("*")) return false;
      return !allowed[from]?.includes(to);
    });
    expect(breaches.map(say)).toEqual([]);
  });

  it("take only types where the table says so", () => {
    const breaches = imports.filter((each) => {
      const to = targetLayer(each);
      return to !== undefined && typesOnly[layerOf(each.file)]?.includes(to) && !each.typeOnly;
    });
    expect(breaches.map(say)).toEqual([]);
  });

  it("use Connect only at the edges", () => {
    const may = ["api", "auth", "server", "client", "telemetry", "gateway"];
    const mayToo = (file: string): boolean =>
      file.startsWith("actors/sources/") || /^demo\/portal(-\w+)?\.ts$/.test(file);
    const breaches = imports.filter(
      ({ file, target }) => target.startsWith("@connectrpc/") && !may.includes(layerOf(file)) && !mayToo(file),
    );
    expect(breaches.map(say)).toEqual([]);
  });

  it("use ioredis only in the Redis connection and the Redis stores", () => {
    const breaches = imports.filter(
      ({ file, target }) => target === "ioredis" && file !== "lib/redis.ts" && !file.endsWith("/redis-store.ts"),
    );
    expect(breaches.map(say)).toEqual([]);
  });

  it("use SQLite only in the thread of the database", () => {
    const breaches = imports.filter(({ file, target }) => target === "libsql" && file !== "lib/database-worker.js");
    expect(breaches.map(say)).toEqual([]);
  });

  it("leave concrete stores, sources, sinks and the provider list to the composition root", () => {
    const concrete = /(?:-store|-outbox|sources\/[a-z-]+|sinks\/[a-z-]+|providers\/index)\.js$/;
    const breaches = imports.filter(({ file, target, typeOnly }) => {
      const within = dirname(file) === dirname(relative(src, resolve(src, dirname(file), target)));
      return concrete.test(target) && target.startsWith(".") && layerOf(file) !== "gateway" && !typeOnly && !within;
    });
    expect(breaches.map(say)).toEqual([]);
  });

  it("have no folder that imports another which imports it back", () => {
    const edges = new Set(
      imports.flatMap((each) => {
        const to = targetLayer(each);
        const from = layerOf(each.file);
        return to === undefined || to === from ? [] : [`${from} ${to}`];
      }),
    );
    const back = [...edges].filter((edge) => edges.has(edge.split(" ").toReversed().join(" ")));
    expect(back).toEqual([]);
  });

  it("load the clients of Redis and Postgres, engines and traces only where they are used: they take time and memory", () => {
    const heavy =
      /^(?:ioredis|pg|libsql|re2js|gpt-tokenizer|@bufbuild\/protovalidate|@connectrpc\/validate)(?:\/|$)|^undici$/;
    const { loaded, reached } = loadedBy("main.ts", "cli/serve.ts");
    expect(loaded.length).toBeGreaterThan(200);
    expect(loaded.filter((file) => /^gateway-spans|^telemetry\/(otlp|span-|tracer)/.test(file))).toEqual([]);
    expect(reached.filter(({ target }) => heavy.test(target)).map(say)).toEqual([]);
  });

  it("load nothing of settings and of serving for a version or a line of help", () => {
    const { loaded, reached } = loadedBy("main.ts", "cli/help.ts");
    expect(loaded.length).toBeGreaterThan(5);
    expect(loaded.filter((file) => /^(config|gateway|client)/.test(file))).toEqual([]);
    expect(reached.filter(({ target }) => !/^(node:|\.)/.test(target)).map(say)).toEqual([]);
  });

  it("read the environment only in main.ts", () => {
    const readers = files.filter((file) => /process\.env\b/.test(readFileSync(join(src, file), "utf8")));
    expect(readers.filter((file) => file !== "main.ts")).toEqual([]);
  });
});
