import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createDestination } from "../../src/telemetry/destination.js";

const waits = { timeout: 30_000, interval: 5 };

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) cleanUp();
});

function makePath(): string {
  const folder = mkdtempSync(join(tmpdir(), "destination-"));
  cleanUps.push(() => rmSync(folder, { recursive: true }));
  return join(folder, "log");
}

function open(path: string, flags: number): number {
  const fd = openSync(path, flags, 0o600);
  cleanUps.push(() => closeSync(fd));
  return fd;
}

/** A pipe that holds 64 KiB, and what was read from it so far. */
function makePipe() {
  const path = makePath();
  execFileSync("mkfifo", [path]);
  const reader = open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = open(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const part = Buffer.alloc(1024 * 1024);
  let text = "";
  const readAll = (): string => {
    try {
      for (let read = 1; read > 0; text += part.toString("latin1", 0, read)) read = readSync(reader, part);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
    return text;
  };
  return { writer, readAll };
}

function numbered(count: number, length = 100): string[] {
  return Array.from({ length: count }, (_, i) => `${`${i} `.padEnd(length, "x")}\n`);
}

describe("a destination of JSON lines", () => {
  it("writes what was gathered after a while", async () => {
    const path = makePath();
    const { write } = createDestination(open(path, constants.O_WRONLY | constants.O_CREAT), "json");

    write("a\n");
    write("é\n");

    expect(readFileSync(path, "utf8")).toBe("");
    await vi.waitFor(() => expect(readFileSync(path, "utf8")).toBe("a\né\n"), waits);
  });

  it("writes what waits before flush returns", () => {
    const path = makePath();
    const { write, flush } = createDestination(open(path, constants.O_WRONLY | constants.O_CREAT), "json");
    write("a\n");

    flush();

    expect(readFileSync(path, "utf8")).toBe("a\n");
  });

  it("loses nothing, and keeps the order, while its reader is slow", async () => {
    const { writer, readAll } = makePipe();
    const { write } = createDestination(writer, "json");
    const lines = numbered(10_000);

    for (const line of lines) {
      write(line);
      if (line.startsWith("5000 ")) await delay(30);
    }

    await vi.waitFor(() => expect(readAll()).toHaveLength(lines.join("").length), waits);
    expect(readAll()).toBe(lines.join(""));
  });

  it("drops lines and says how many when its reader is gone for long", async () => {
    const { writer, readAll } = makePipe();
    const { write } = createDestination(writer, "json", 256 * 1024);
    const lines = numbered(5_000);
    for (const line of lines) write(line);
    await vi.waitFor(() => expect(readAll()).toContain("1000 "), waits);

    write("and on\n");
    await vi.waitFor(() => expect(readAll()).toContain("and on"), waits);

    const kept = readAll().split("\n");
    const { msg, lines: dropped } = JSON.parse(kept.at(-3) ?? "") as Record<string, unknown>;
    expect(msg).toBe("log lines dropped");
    expect(kept.slice(0, -3).map((line) => `${line}\n`)).toEqual(lines.slice(0, lines.length - Number(dropped)));
  });

  it("survives a reader that has gone", async () => {
    const path = makePath();
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { write, flush } = createDestination(open(path, constants.O_WRONLY | constants.O_NONBLOCK), "json");
    closeSync(reader);

    for (const line of numbered(1_000)) write(line);
    await delay(10);

    expect(() => flush()).not.toThrow();
  });
});

it("writes lines for people at once", () => {
  const path = makePath();
  const { write } = createDestination(open(path, constants.O_WRONLY | constants.O_CREAT), "pretty");

  write("a\n");

  expect(readFileSync(path, "utf8")).toBe("a\n");
});
