// The whole process, as a shell starts it.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { gatewayFile } from "../helpers/process-files.js";

const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
});

/** Starts the gateway's command line with nothing in its environment but `env`. */
function start(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [gatewayFile, ...args], { env, stdio: "pipe" });
  children.add(child);
  const written = { stdout: "", stderr: "" };
  child.stdout.on("data", (data: Buffer) => (written.stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (written.stderr += data.toString()));
  const ended = once(child, "close").then(([code]) => code as number | null);
  const said = async (text: string): Promise<void> => {
    while (!written.stderr.includes(text)) await once(child.stderr, "data");
  };
  return { child, written, ended, said };
}

describe("the process", () => {
  it("derives a token that it reads from standard input", async () => {
    const { child, written, ended } = start(["token", "license", "-"]);
    child.stdin.end("abc\n");

    expect(await ended).toBe(0);
    expect(written.stdout).toBe("slk_ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
  });

  it("says why in a line when its output cannot be written", async () => {
    const full = openSync("/dev/full", "w");
    const child = spawn(process.execPath, [gatewayFile, "version"], { env: {}, stdio: ["ignore", full, "pipe"] });
    children.add(child);
    let stderr = "";
    child.stderr?.on("data", (data: Buffer) => (stderr += data.toString()));

    expect((await once(child, "close"))[0]).toBe(1);
    expect(stderr).toMatch(/^error: standard output cannot be written: ENOSPC.*\n$/);
    closeSync(full);
  });

  it("ends with 78 when nothing is configured", async () => {
    expect(await start(["serve"]).ended).toBe(78);
  });

  it("serves, logs to standard error only, and ends with 0 at SIGTERM", async () => {
    const { child, written, ended, said } = start(["serve"], {
      ANTHROPIC_API_KEY: "canary-key",
      PORT: "0",
      CODY_GATEWAY_HOST: "127.0.0.1",
      CODY_GATEWAY_DRAIN_DELAY: "0s",
    });
    await said("listening");

    child.kill("SIGTERM");

    expect(await ended).toBe(0);
    expect(written.stdout).toBe("");
    const lines = written.stderr.trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(
      expect.arrayContaining(["listening", "stopping", "stopped"]),
    );
    expect(written.stderr).not.toContain("canary");
  });
});
