import { describe, expect, it } from "vitest";
import { createLog, type LogLevel } from "../../src/telemetry/log.js";

function capture(
  options: { level?: LogLevel; format?: "json" | "pretty"; color?: boolean; environment?: string } = {},
) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line), flush() {} };
  const log = createLog({ level: "debug", format: "json", ...options }, destination);
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? "") as Record<string, unknown> };
}

describe("createLog", () => {
  it("writes one JSON object a line", () => {
    const { log, lines, last } = capture();

    log.info({ port: 9992, host: "::" }, "listening");

    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\{.*\}\n$/);
    expect(last()).toMatchObject({ level: "info", msg: "listening", port: 9992, host: "::" });
    expect(last()["time"]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it("says which deployment it is, once", () => {
    const { log, lines } = capture({ environment: 'pr"od' });

    log.info({}, "listening");
    log.info({ environment: "of the event" }, "request");

    expect(lines.map((line) => line.match(/"environment":("(?:[^"\\]|\\.)*")/g))).toEqual([
      ['"environment":"pr\\"od"'],
      ['"environment":"of the event"'],
    ]);
  });

  it.each([
    ["debug", ["debug", "info", "warn", "error"]],
    ["warn", ["warn", "error"]],
    ["silent", []],
  ] as const)("at %s writes %j", (level, written) => {
    const { log, lines } = capture({ level });

    for (const each of ["debug", "info", "warn", "error"] as const) log[each]({}, each);

    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(written);
  });

  it("says of an error what it was and what caused it", () => {
    const { log, last } = capture();

    log.error(
      { error: Object.assign(new TypeError("outer", { cause: new Error("inner") }), { reason: "X" }) },
      "failed",
    );

    expect(last()["error"]).toMatchObject({
      name: "TypeError",
      message: "outer",
      reason: "X",
      cause: { name: "Error", message: "inner" },
    });
  });

  it("keeps its own fields its own", () => {
    const { log, last } = capture();

    log.info({ level: "fake", time: "fake", msg: "fake" }, "true");

    expect(last()).toMatchObject({ level: "info", msg: "true", level_: "fake", time_: "fake", msg_: "fake" });
  });

  it.each([
    ["a line end", "a\r\nb: c"],
    ["an escape sequence", "\u001b[31mred\u001b[0m"],
    ["a line separator", "a\u2028b\u2029c"],
    ["bidirectional text", "\u202eevil\u2066"],
    ["a C1 control", "a\u009bb"],
    ["half a surrogate", "a\ud800b"],
    ["a NUL", "a\u0000b"],
  ])("neutralises %s in fields, names and messages", (_, text) => {
    const { log, lines } = capture();

    log.info({ token_hash: text, nested: { [text]: [text] } }, text);

    expect(lines).toHaveLength(1);
    expect(lines[0]?.slice(0, -1)).toMatch(/^[\x20-\x7e]*$/);
    expect(() => JSON.parse(lines[0] ?? "") as unknown).not.toThrow();
  });

  it.each([
    ["ASCII", "x".repeat(100_000)],
    ["two bytes each", "é".repeat(600)],
    ["three bytes each", "語".repeat(400)],
    ["four bytes each", "😀".repeat(300)],
    ["escaped", "\u0001".repeat(1_000)],
  ])("cuts a field at a kibibyte: %s", (_, text) => {
    const { log, last } = capture();

    log.info({ text }, "long");

    const written = String(last()["text"]);
    expect(Buffer.byteLength(written)).toBeLessThanOrEqual(1_024);
    expect(written).toMatch(/…$/);
    expect(written).not.toContain("\ufffd");
  });

  it.each([1_022, 1_023, 1_024])("leaves a field of %d bytes as it is", (length) => {
    const { log, last } = capture();

    log.info({ text: "é".repeat(Math.floor(length / 2)) }, "fits");

    expect(last()["text"]).toBe("é".repeat(Math.floor(length / 2)));
  });

  it.each([
    ["a licence token", `slk_${"a1".repeat(32)}`],
    ["a user token", `sgd_${"a1".repeat(32)}`],
    ["a personal access token", `sgp_local_${"a1".repeat(20)}`],
    ["an Anthropic key", "sk-ant-api03-canary_canary-canary"],
    ["an OpenAI key", "sk-proj-canarycanary"],
    ["a Google key", `AIza${"Canary-canary_".repeat(3)}`],
    ["a Fireworks key", "fw_canarycanarycanary"],
    ["a header", "authorization: Bearer canary"],
    ["a URL's key", "https://host/v1beta/models/x?alt=sse&key=canary"],
    ["a URL's password", "redis://user:canary@host:6379"],
  ])("never writes %s, wherever it stands", (_, secret) => {
    const { log, lines } = capture();

    log.debug({ text: `before ${secret} after`, list: [secret], error: new Error(`failed with ${secret}`) }, secret);

    expect(lines[0]).not.toMatch(/canary|(a1){4}/i);
    expect(lines[0]).toContain("[redacted]");
    expect(lines[0]).toMatch(/before .* after/);
  });

  it("does not let the cut at a kibibyte save the beginning of a secret", () => {
    const { log, lines } = capture();

    log.info({ text: `${"x".repeat(1_000)} redis://user:${"canary".repeat(20)}@redis` }, "long");

    expect(lines[0]).not.toContain("canary");
  });

  it.each([
    "token",
    "access_token",
    "authorization",
    "apiKey",
    "api_key",
    "client_secret",
    "password",
    "prompt",
    "messages",
    "body",
    "cookie",
    "pepper",
  ])("never writes what a field named %s holds", (name) => {
    const { log, lines } = capture();

    log.debug({ [name]: "canary", nested: { [name]: { deep: "canary" } } }, "fields");

    expect(lines[0]).not.toContain("canary");
  });

  it("writes counts of tokens", () => {
    const { log, last } = capture();

    log.info({ inputTokens: 5, token: 7 }, "usage");

    expect(last()).toMatchObject({ inputTokens: 5, token: 7 });
  });

  it("bounds what it is given: depth, width, cycles, odd values", () => {
    const { log, lines, last } = capture();
    const cyclic: Record<string, unknown> = { n: 1 };
    cyclic["self"] = cyclic;
    const wide = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, "x".repeat(2_000)]));

    log.info(
      { cyclic, wide, big: 10n, at: new Date(0), buffer: Buffer.from("canary"), f: () => 1, none: undefined },
      "odd",
    );

    expect(lines[0]?.length).toBeLessThan(60 * 1_200);
    expect(last()).toMatchObject({ big: "10", at: "1970-01-01T00:00:00.000Z", buffer: "[6 bytes]" });
    expect(last()).not.toHaveProperty("f");
  });

  it("does not let a field reach the prototype", () => {
    const { log, last } = capture();

    log.info({ nested: JSON.parse('{"__proto__": {"polluted": true}, "a": 1}') as object }, "proto");

    expect(last()["nested"]).toEqual({ a: 1 });
  });
});

describe("pretty format", () => {
  it("writes a line for people", () => {
    const { log, lines } = capture({ format: "pretty" });

    log.warn({ port: 9992, text: "two words" }, "listening");

    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} WARN {2}listening {2}port=9992 {2}text="two words"\n$/);
  });

  it("keeps to one line whatever the fields hold", () => {
    const { log, lines } = capture({ format: "pretty" });

    log.warn({ text: "a\nb\u001b[31m", error: new Error("a\nb") }, "a\nb");

    expect(lines[0]?.trimEnd()).toMatch(/^[\x20-\x7e]*$/);
  });

  it("is coloured only when asked for", () => {
    const plain = capture({ format: "pretty" });
    const coloured = capture({ format: "pretty", color: true });

    plain.log.info({ a: 1 }, "x");
    coloured.log.info({ a: 1 }, "x");

    expect(plain.lines[0]).not.toContain("\u001b");
    expect(coloured.lines[0]).toContain("\u001b[32m");
  });
});
