// Real Postgres servers for tests, each in a folder of its own under the system's temporary one.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { ensureProgram, findProgram } from "./debian.js";
import { diesWithUs } from "./dies-with-us.js";
import { freePort } from "./free-port.js";
import { until } from "./redis.js";

const run = promisify(execFile);

/** A postgres process. Whoever connects from this machine is trusted. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number;
  /** Makes a database of its own and returns its URL; `host` in place of the server's own, `127.0.0.1:4711`. */
  database(host?: string): Promise<string>;
}

/** Its superuser. */
const user = "gateway";
const installed = "/usr/lib/postgresql";

export async function startPostgres(): Promise<PostgresServer> {
  const bin = await programs();
  const owner = await whoMayRun();
  const folder = await mkdtemp(join(tmpdir(), "cody-postgres-"));
  if (owner.uid !== undefined) await chown(folder, owner.uid, owner.gid ?? 0);
  const data = join(folder, "data");
  await run(join(bin, "initdb"), ["-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync"], owner);
  const port = await freePort();
  const settings = [
    "listen_addresses=127.0.0.1",
    `unix_socket_directories=${folder}`,
    "fsync=off",
    "shared_buffers=16MB",
  ];
  const args = ["-D", data, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])];
  const child = spawn(join(bin, "postgres"), args, { ...owner, stdio: "ignore" });
  diesWithUs(child);
  const url = (database: string, host = `127.0.0.1:${port}`): string => `postgres://${user}@${host}/${database}`;
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`);
    return query(url("postgres"), "select 1").then(
      () => true,
      () => false,
    );
  }, 20_000);
  let made = 0;
  return {
    port,
    async database(host) {
      const name = `test_${++made}`;
      await query(url("postgres"), `create database ${name}`);
      return url(name, host);
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, "exit");
      // At once: nothing of it is needed any more.
      child.kill("SIGQUIT");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Asks on a connection of its own. */
export async function query<Row extends object>(
  url: string,
  sql: string,
  params: unknown[] = [],
): Promise<readonly Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(sql, params)).rows;
  } finally {
    await client.end();
  }
}

/** Where the server's programs are. Debian does not put them on the path. */
async function programs(): Promise<string> {
  const onPath = await findProgram("initdb");
  if (onPath !== undefined) return join(onPath, "..");
  await ensureProgram("pg_ctlcluster", "postgresql");
  const versions = (await readdir(installed)).toSorted((a, b) => Number(b) - Number(a));
  return join(installed, versions[0] ?? "", "bin");
}

/** Postgres does not run as root: then it is the user that its package made. */
async function whoMayRun(): Promise<{ readonly uid?: number; readonly gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const [uid, gid] = await Promise.all(["-u", "-g"].map(async (flag) => (await run("id", [flag, "postgres"])).stdout));
  return { uid: Number(uid), gid: Number(gid) };
}
