import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { maxOpenFiles, serverLimits } from "../../src/server/limits.js";
import { processFile } from "../helpers/process-files.js";
import { head, rawRequest } from "../helpers/raw-http.js";

describe("the connection limit", () => {
  it("is below half of the open files that the process may have", () => {
    const folder = mkdtempSync(join(tmpdir(), "limits-"));
    const file = join(folder, "limits");
    const files = (soft: string) => {
      writeFileSync(
        file,
        `Limit  Soft Limit  Hard Limit  Units\nMax processes  1  2  processes\nMax open files   ${soft}   99  files\n`,
      );
      return maxOpenFiles(file);
    };
    expect([files("20000"), files("unlimited"), maxOpenFiles(join(folder, "none"))]).toEqual([20_000, 1_048_576, 4096]);
    rmSync(folder, { recursive: true });
    expect(serverLimits().maxConnections).toBe(Math.floor(0.48 * maxOpenFiles()));
    expect(serverLimits({ maxConnections: 7, headMs: 1 })).toMatchObject({
      maxConnections: 7,
      headMs: 1,
      bodyMs: 30_000,
    });
  });
});

const children: ChildProcess[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const each of sockets.splice(0)) each.destroy();
  for (const each of children.splice(0)) each.kill();
});

/** Starts a listener that may have so many files open. */
async function startChild(files: number, limits: object): Promise<{ port: number; pid: number }> {
  const command = `ulimit -n ${files}; exec "${process.execPath}" "${processFile("server-child")}" '${JSON.stringify(limits)}'`;
  const child = spawn("sh", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const port = await new Promise<number>((resolve) => child.stdout.once("data", (text) => resolve(Number(text))));
  return { port, pid: child.pid ?? 0 };
}

/** Opens so many connections, each with a request sent, and waits until all have an answer or an end. */
async function crowd(port: number, count: number): Promise<void> {
  const each = async (): Promise<void> => {
    const socket = connect({ port, host: "127.0.0.1" });
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write(head("GET / HTTP/1.1"));
    await new Promise<void>((resolve) => {
      socket.once("data", () => resolve());
      socket.once("close", () => resolve());
    });
  };
  await Promise.all(Array.from({ length: count }, each));
}

describe("a crowd of connections", () => {
  it.each([
    ["beyond the limit, which follows from the open files", 160, {}],
    ["beyond what files there are", 64, { maxConnections: 10_000 }],
  ])("%s brings nothing down", async (_, files, limits) => {
    const { port, pid } = await startChild(files, limits);
    await crowd(port, 300);
    for (const each of sockets.splice(0)) each.destroy();
    const ask = () => rawRequest(port, head("GET / HTTP/1.1")).catch(() => undefined);
    await expect.poll(ask).toMatchObject({ status: 200, body: String(pid) });
  });
});
