import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dollars, span } from "../../src/cli/admin-format.js";
import { bar } from "../../src/cli/progress.js";
import { run } from "../../src/cli/run.js";
import { table } from "../../src/cli/table.js";
import { fitted, widthOf } from "../../src/cli/width.js";
import { adminTokens, operatorToken, viewerToken } from "../helpers/admin.js";
import { freePort } from "../helpers/free-port.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { fakeIo } from "./fake-io.js";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await testGateway({
    actor: { limits: { chat_completions: [{ limit: 5, per: "1h" }] } },
    env: { CODY_GATEWAY_ADMIN_TOKENS: adminTokens },
  });
});
afterAll(() => gateway[Symbol.asyncDispose]());

/** Runs a command; its lines are without the space at their ends. */
async function admin(args: string, { as = operatorToken, input = "", url = gateway.url } = {}) {
  const { io, written } = fakeIo({ CODY_GATEWAY_URL: url, CODY_GATEWAY_ADMIN_TOKEN: as }, { "-": input });
  const code = await run(["admin", ...args.split(" ")], io);
  return { code, ...written };
}

describe("cody-gateway admin", () => {
  it("shows actors in aligned columns", async () => {
    const { code, stdout } = await admin("actors", { as: viewerToken });

    const [head = "", row = ""] = stdout.split("\n");
    expect(code).toBe(0);
    expect(head).toMatch(/^actor +name +access/);
    expect(row).toMatch(/^static\/acme +Acme Inc +yes +chat_completions/);
    expect(head.indexOf("name")).toBe(row.indexOf("Acme Inc"));
  });

  it("prints the API's messages with --json", async () => {
    const { stdout } = await admin("actor static/acme --json");

    expect(JSON.parse(stdout)).toMatchObject({ actor: { ref: { source: "static", id: "acme" }, accessEnabled: true } });
  });

  it("reads a token from standard input, and shows it nowhere", async () => {
    const { code, stdout, stderr } = await admin("actor --token -", { input: `${token}\n` });

    expect(code).toBe(0);
    expect(stdout).toContain("Acme Inc");
    expect(stdout + stderr).not.toContain(token);
  });

  it("sets what each user may have, shows it, and where a user stands", async () => {
    const chat = "chat_completions";
    const set = await admin(
      `override static/acme limits ${chat} --per-user 3/24h --per-user 20% --per-user-in-flight 2 --reason x`,
    );
    const text = "20% of all, 3 requests/1 d, 2 in flight for each user";
    expect([set.code, set.stdout.includes(text)]).toEqual([0, true]);
    expect((await admin("actor static/acme")).stdout).toMatch(new RegExp(`${chat} +${text} +override`));
    expect((await admin("usage static/acme --user 42")).stdout).toMatch(/0 of 3 requests \/ 1 d by the user/);
    expect((await admin(`explain static/acme --feature ${chat} --user 42`)).stdout).toContain(
      "0 of 1 requests / 1 h by the user, asks for 1",
    );
    expect((await admin(`usage static/acme --user 42 --feature ${chat} --reset --reason x`)).stdout).toContain(
      "was 0 of 3 requests / 1 d by the user",
    );

    await admin(`override static/acme limits ${chat} --per-user none --reason x`);
    expect((await admin("override static/acme")).stdout).toContain("no limit of each user");
    expect((await admin("usage static/acme --user 42")).stdout).not.toContain("by the user");
    await admin("override static/acme --clear --reason x");
  });

  it("lets nobody's name move the cursor, wherever it is shown", async () => {
    await using other = await testGateway({
      actor: { name: "Acme \u001b[2J\nadmin" },
      env: { CODY_GATEWAY_ADMIN_TOKENS: adminTokens },
    });

    for (const args of ["actors", "actor static/acme", "explain static/acme"])
      expect((await admin(args, { url: other.url })).stdout).toContain("Acme \ufffd[2J\ufffdadmin");
  });

  it("shows ids of tokens as `revoke --id` takes them", async () => {
    const [id = ""] = /\b[0-9a-f]{64}\b/.exec((await admin("actor static/acme")).stdout) ?? [];

    expect((await admin(`revoke --id ${id} --reason x`)).stdout).toContain(`the token ${id} of static/acme`);
    expect((await admin("actor static/acme")).stdout).toMatch(new RegExp(`^${id} +revoked by ada: x`, "m"));
    expect((await admin(`revoke --id ${id} --lift --reason x`)).code).toBe(0);
  });

  it("explains how many requests are in flight", async () => {
    await admin("override static/acme limits chat_completions --in-flight 3 --reason x");

    expect((await admin("explain static/acme")).stdout).toMatch(/^ok +in flight +0 of 3 in flight$/m);
    await admin("override static/acme --clear --reason x");
  });

  it.each([
    ["actors --help", "[--order id|name|refreshed] [--descending]"],
    ["override -h", "[--per-user-in-flight n]"],
    ["watch --help", "Show decisions"],
  ])("says all that a command takes: %s", async (args, text) => {
    const { code, stdout } = await admin(args);

    expect(code).toBe(0);
    expect(stdout).toContain(text);
    expect(stdout).not.toContain("admin sources");
    expect((await admin(`${args.split(" ")[0]} --nonsense`)).stderr).toContain(
      `see cody-gateway admin ${args.split(" ")[0]} --help`,
    );
  });

  it("explains a refusal with the limit's numbers", async () => {
    expect((await admin("explain static/acme --model openai/gpt-4o")).stdout).toMatch(
      /^static\/acme Acme Inc\nallowed\n/,
    );

    const { stdout } = await admin("explain static/acme --feature code_completions");
    expect(stdout).toMatch(/refused: no access to feature \(FEATURE_NOT_GRANTED\)/);
    expect(stdout).toMatch(/^no +feature/m);
  });

  it.each([
    ["nonsense", 2, /expected one of sources, sync, actors/],
    ["actor acme", 2, /expected an actor as source\/id/],
    ["actor static/nobody", 1, /no such actor \(NOT_FOUND\)/],
    ["actors --order height", 2, /expected --order id or name or refreshed/],
    ["usage static/acme --reset", 2, /--reset needs --feature and --reason/],
    ["override static/acme access maybe --reason x", 2, /expected access on or access off/],
    ["override static/acme access off", 2, /expected --reason/],
    ["override static/acme limits chat_completions lots --reason x", 2, /expected a limit such as 500\/24h/],
    ["override static/acme limits chat_completions --per-user 0% --reason x", 2, /expected a share above 0% and up to/],
    ["override static/acme limits chat_completions --per-user 1% --per-user 2% --reason x", 2, /expected one share/],
    [
      "override static/acme limits chat_completions --per-user none --per-user 5/1h --reason x",
      2,
      /expected --per-user none alone/,
    ],
    [
      "override static/acme access on --per-user 5/1h --reason x",
      2,
      /--per-user and --per-user-in-flight go with limits/,
    ],
    ["usage static/acme --user a:b", 1, /expected the id of a user/],
    // What would be passed over in silence.
    ["override static/acme --in-flight 3 --reason x", 2, /expected access, limits or models, or --clear/],
    ["override static/acme --expires 7d", 2, /expected access, limits or models, or --clear/],
    [
      "override static/acme limits chat_completions --clear --reason x",
      2,
      /one name, such as limits\/chat_completions/,
    ],
    ["override static/acme --clear access --expires 1d --reason x", 2, /expected nothing beside --clear but one name/],
    ["revoke some-token --lift --expires 1d --reason x", 2, /expected either --lift or --expires/],
    ["usage static/acme --reason x", 2, /--reason goes with --reset/],
    ["usage static/acme --feature chat_completions --reset --watch --reason x", 2, /either --reset or --watch/],
    ["flagged --reason x", 2, /expected a key with --reason/],
    ["flagged prompt:a:b:c --blocked --reason x", 2, /expected either a key, or --actor and --blocked/],
    ["sync static", 1, /SYNC_NOT_SUPPORTED/],
  ])("says what is wrong with `%s`", async (args, code, message) => {
    const answer = await admin(args);

    expect(answer.stderr).toMatch(message);
    expect(answer.code).toBe(code);
  });

  it("says what to do where the role is missing, the credential is wrong, or nobody answers", async () => {
    const write = "override static/acme access off --reason x";
    expect(await admin(write, { as: viewerToken })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("needs the role operator"),
    });
    expect(await admin("flagged", { as: viewerToken })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("needs the role reviewer"),
    });
    expect(await admin("actors", { as: "wrong" })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("CODY_GATEWAY_ADMIN_TOKENS"),
    });
    const url = `http://127.0.0.1:${await freePort()}`;
    expect(await admin("actors", { url })).toMatchObject({ code: 69, stderr: expect.stringContaining(url) });
    expect(await admin("actors", { url: "" })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("CODY_GATEWAY_URL"),
    });
  });
});

describe("tables", () => {
  it("put numbers to the right, and let nobody's name move the cursor", () => {
    expect(
      table(
        ["name", "n"],
        [
          ["a\u001b[2Jb", 1],
          ["long name", 1_000],
        ],
      ),
    ).toBe("name           n\na\ufffd[2Jb         1\nlong name  1,000");
    expect(table(["name"], [])).toBe("none");
  });

  it("stand in line whatever the names are written with", () => {
    const names = [
      "Acme",
      "株式会社アクメ",
      "한국 회사",
      "Café",
      "Cafe\u0301",
      "ＡＣＭＥ",
      "🚀 Rockets",
      "👩\u{1f3fd} Ada",
      "❤\ufe0f",
    ];
    const rows = table(
      ["name", "x"],
      names.map((name) => [name, "|"]),
    )
      .split("\n")
      .slice(1);
    expect(rows.map((row) => widthOf(row))).toEqual(names.map(() => 17));
    expect(names.map(widthOf)).toEqual([4, 14, 9, 4, 4, 8, 10, 6, 2]);
  });

  it("are cut where a line has no more room", () => {
    expect([fitted("abcdef", 6), fitted("abcdef", 5), fitted("株式会社", 7), fitted("株式会社", 6)]).toEqual([
      "abcdef",
      "abcd…",
      "株式会…",
      "株式…",
    ]);
  });

  it("tell of small sums of money", () => {
    expect([dollars(0n), dollars(45n), dollars(1_234_500_000n)]).toEqual(["$0.00", "$0.000045", "$1,234.50"]);
  });

  it("have bars of a known total, and counts of an unknown one", () => {
    expect(bar(50, 200, 200)).toBe(`[${"#".repeat(8)}${"-".repeat(22)}] 25 %`);
    expect(bar(50, 200)).toBe("[###-------] 25 %");
    expect(bar(1_234, undefined)).toBe("1,234");
  });
});

describe("spans of time", () => {
  it.each([
    [250.4, "250 ms"],
    [1_600, "2 s"],
    [119_400, "119 s"],
    [3_599_990, "60 m"],
    [7 * 86_400_000 - 1, "7 d"],
    // What somebody has set is told as it was set.
    [90_000, "90 s"],
    [5_400_000, "90 m"],
    [60 * 3_600_000, "60 h"],
    [30 * 86_400_000, "30 d"],
  ])("%d ms are %s", (ms, text) => {
    expect(span(ms)).toBe(text);
  });
});
