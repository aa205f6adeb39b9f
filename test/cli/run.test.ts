import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { run } from "../../src/cli/run.js";
import { describeSettings } from "../../src/config.js";
import { fakeIo } from "./fake-io.js";

const key = { ANTHROPIC_API_KEY: "canary-key" };

/** Runs one command line and says what it wrote and how it ended. */
async function command(line: string, env: Readonly<Record<string, string>> = {}, files: Record<string, string> = {}) {
  const { io, written } = fakeIo(env, files);
  const code = await run(line.split(" ").filter(Boolean), io);
  return { code, ...written };
}

/** What a mistake looks like on standard error. */
async function stderrOf(isTTY: boolean, env: Record<string, string>): Promise<string> {
  const { io, written } = fakeIo(env);
  await run(["nonsense"], { ...io, stderr: { ...io.stderr, isTTY } });
  return written.stderr;
}

describe("run", () => {
  it("lists the commands, as a usage error when none was given", async () => {
    const none = await command("");
    const help = await command("help");

    expect(none).toMatchObject({ code: 2, stdout: "", stderr: help.stdout });
    expect(help.code).toBe(0);
    for (const name of ["serve", "demo", "config check", "config show", "token license", "token pat", "token admin"]) {
      expect(help.stdout).toContain(`cody-gateway ${name}`);
    }
  });

  it.each(["--help", "-h", "help nonsense"])("takes %s for help", async (line) => {
    expect(await command(line)).toMatchObject({ code: 0, stdout: (await command("help")).stdout });
  });

  it.each([["version"], ["--version"], ["-v"]])("says its version: %s", async (line) => {
    expect(await command(line)).toEqual({ code: 0, stdout: "1.2.3\n", stderr: "" });
    expect((await command("version --json")).stdout).toBe('{"version":"1.2.3"}\n');
  });

  it.each(["constructor", "serv", "--json", "\u001b[31m"])("does not know %j", async (line) => {
    const { code, stderr } = await command(line);

    expect(code).toBe(2);
    expect(stderr).toContain("cody-gateway help");
    expect(stderr).not.toContain("\u001b");
  });

  it("says all settings, with their defaults, in the help of serve", async () => {
    const { code, stdout } = await command("serve --help");

    expect(code).toBe(0);
    for (const { name, sentence } of describeSettings()) {
      expect(stdout).toContain(`  ${name}`);
      expect(stdout).toContain(sentence);
    }
    expect(stdout).toContain("PORT (9992)");
  });

  it.each(["serve --port 1", "serve now", "config", "config nonsense", "config show --yaml", "token", "token license"])(
    "says how it is meant when it was called wrongly: %s",
    async (line) => {
      const { code, stderr, stdout } = await command(line, key);

      expect(code).toBe(2);
      expect(stdout).toBe("");
      expect(stderr).toMatch(/^error: .*\nsee cody-gateway \w+ --help\n$/);
    },
  );

  it("is in colour on a terminal only, and not when NO_COLOR is set", async () => {
    expect(await stderrOf(true, {})).toContain("\u001b[31merror:");
    expect(await stderrOf(true, { NO_COLOR: "1" })).toMatch(/^error:/);
    expect(await stderrOf(true, { TERM: "dumb" })).toMatch(/^error:/);
    expect(await stderrOf(false, {})).toMatch(/^error:/);
  });
});

describe("config check", () => {
  it("says that all is right, and what is worth knowing", async () => {
    const { code, stdout, stderr } = await command("config check", { ...key, CODY_GATEWAY_TRACE_POLICY: "selective" });

    expect(code).toBe(0);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^configuration is right: 1 provider, 0 actors\n/);
    expect(stdout).toContain("note: CODY_GATEWAY_TRACE_POLICY: no effect");
  });

  it("says everything that is wrong at once", async () => {
    const env = { ...key, PORT: "x", CODY_GATEWAY_LOG_LEVEL: "x", CODY_GATEWAY_CONFIG: "/gw.yaml" };
    const files = { "/gw.yaml": "actor: []" };

    const { code, stdout, stderr } = await command("config check", env, files);

    expect(code).toBe(78);
    expect(stdout).toBe("");
    expect(stderr.split("\n").filter((line) => line.startsWith("error: "))).toEqual([
      expect.stringMatching(/^error: PORT: expected/),
      expect.stringMatching(/^error: CODY_GATEWAY_LOG_LEVEL: expected/),
      expect.stringMatching(/^error: \/gw\.yaml:1: actor: unknown key/),
    ]);
  });

  it("says it in JSON", async () => {
    const wrong = await command("config check --json", { ...key, PORT: "x" });
    const right = await command("config check --json", key);

    expect(wrong.code).toBe(78);
    expect(JSON.parse(wrong.stdout)).toMatchObject({ ok: false, problems: [{ source: "PORT" }] });
    expect(right.code).toBe(0);
    expect(JSON.parse(right.stdout)).toMatchObject({ ok: true, problems: [] });
  });
});

describe("config show", () => {
  const env = {
    ...key,
    CODY_GATEWAY_CONFIG: "/gw.yaml",
    REDIS_ENDPOINT: "redis://:canary@redis:6379",
    TOKEN: "canary-canary-canary",
  };
  const files = { "/gw.yaml": "actors: [ { id: acme, tokens: [ { ref: env:TOKEN } ], limits: { embeddings: [] } } ]" };

  it.each(["config show", "config show --json"])("shows what is in effect and no secret: %s", async (line) => {
    const { code, stdout, stderr } = await command(line, env, files);

    expect(code).toBe(0);
    expect(stdout).toContain("CODY_GATEWAY_DRAIN_TIMEOUT");
    expect(stdout).toContain("10m");
    expect(stdout).toContain('"id":"acme"');
    expect(stdout).toContain("********");
    expect(stdout + stderr).not.toContain("canary");
  });

  it("says what is wrong when there is no configuration to show", async () => {
    expect(await command("config show", { PORT: "x" })).toMatchObject({ code: 78, stdout: "" });
  });
});

describe("token", () => {
  const license = "slk_ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

  it("derives the token of a licence key", async () => {
    expect(await command("token license abc")).toEqual({ code: 0, stdout: `${license}\n`, stderr: "" });
    expect((await command("token license abc --json")).stdout).toBe(`{"token":"${license}"}\n`);
  });

  it("reads a key from standard input", async () => {
    expect((await command("token license -", {}, { "-": "abc\n" })).stdout).toBe(`${license}\n`);
  });

  it("derives the token of a personal access token", async () => {
    const { code, stdout } = await command("token pat sgp_a94a8fe5ccb19ba61c4c0873d391e987982fbbd3");

    expect(code).toBe(0);
    expect(stdout).toMatch(/^sgd_[0-9a-f]{64}\n$/);
  });

  it.each(["token pat canary", "token license -", "token nonsense canary", "token license canary --role viewer"])(
    "refuses %s, and does not repeat it",
    async (line) => {
      const { code, stdout, stderr } = await command(line, {}, { "-": " \n" });

      expect(code).toBe(2);
      expect(stdout).toBe("");
      expect(stderr).not.toContain("canary");
    },
  );

  it("makes a new administrator's token each time, with the entry that knows it", async () => {
    const made = [await command("token admin ann --role operator --json"), await command("token admin ann --json")];
    const [first, second] = made.map(
      ({ stdout }) => JSON.parse(stdout) as { token: string; entry: string; role: string },
    );

    expect(first?.token).toMatch(/^cga_[0-9a-f]{64}$/);
    expect(first?.entry).toBe(
      `ann:operator:${createHash("sha256")
        .update(first?.token ?? "")
        .digest("hex")}`,
    );
    expect(second?.role).toBe("viewer");
    expect(second?.token).not.toBe(first?.token);
  });

  it.each(["token admin a:b", "token admin ann --role root", "token admin"])("refuses %s", async (line) => {
    expect(await command(line)).toMatchObject({ code: 2, stdout: "" });
  });
});
