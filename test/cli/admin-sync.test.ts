import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { run } from "../../src/cli/run.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { type DemoSubscription, demoUuid } from "../../src/demo/subscriptions.js";
import { adminOf, adminTokens, operatorToken } from "../helpers/admin.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";
import { until } from "../helpers/redis.js";
import { fakeIo } from "./fake-io.js";

const portal = "dotcom-product-subscriptions";
const all = Array.from({ length: 250 }, (_, index) => ({
  id: demoUuid(`customer ${index}`),
  name: `Customer ${index}`,
}));
const [first = { id: "", name: "" }] = all;
const fresh = { id: demoUuid("fresh"), name: "Fresh" };

let ends: DemoBackEnds;
let gateway: TestGateway;
beforeAll(async () => {
  ends = await startDemoBackEnds({ pages: true, maxPageSize: 100 });
  list(all);
  gateway = await testGateway({ env: { ...ends.env, CODY_GATEWAY_ADMIN_TOKENS: adminTokens } });
  await until(async () => (await sourceOf(portal))?.lastSync !== undefined);
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await ends.close();
});
beforeEach(async () => {
  ends.portal.heal();
  list(all);
  await admin(`sync ${portal} --allow-shrink --reason reset`);
});

/** What the portal lists from now on. */
function list(subscriptions: readonly DemoSubscription[]): void {
  const ids = new Set(subscriptions.map(({ id }) => id));
  for (const { id } of [...all, fresh]) if (!ids.has(id)) ends.portal.remove(id);
  ends.portal.set(subscriptions);
}

async function sourceOf(name: string) {
  const { sources } = await adminOf(gateway).listSources({});
  return sources.find((source) => source.name === name);
}

/** A command of a process; with `isTTY`, both its outputs are a terminal. */
function command({ isTTY = false, columns = 80 } = {}) {
  const { io, written, state } = fakeIo({
    CODY_GATEWAY_URL: gateway.url,
    CODY_GATEWAY_ADMIN_TOKEN: operatorToken,
    NO_COLOR: "1",
  });
  const given = { ...io, stdout: { ...io.stdout, isTTY }, stderr: { ...io.stderr, isTTY, columns } };
  return { written, state, run: (args: string) => run(["admin", ...args.split(" ")], given) };
}

async function admin(args: string, options?: { readonly isTTY?: boolean; readonly columns?: number }) {
  const { written, run: go } = command(options);
  const code = await go(args);
  return { code, ...written, row: written.stdout.split("\n").find((line) => line.startsWith(portal)) };
}

describe("cody-gateway admin sources", () => {
  it("says of each how many actors it has, how it is and how its sync ended, and of one not asked yet that it was not", async () => {
    const { stdout, row } = await admin("sources");

    expect(row).toMatch(/Enterprise Portal +250 +available +\d+ m?s ago +succeeded +in \d/);
    expect(stdout).toMatch(/^dotcom-user +Sourcegraph\.com +0 +not asked yet$/m);
  });

  it("tells of what went wrong", async () => {
    ends.portal.fail({ kind: "status", status: 500 });
    await admin("sync");

    expect((await admin("sources")).row).toMatch(/Enterprise Portal +250 +failing: .+ago +failed: /);
  });

  it("shows it again on a cleared screen with --watch, until it is told to stop", async () => {
    const { written, state, run: go } = command({ isTTY: true });
    const done = go("sources --watch");
    const views = (): readonly string[] => written.stdout.split("\u001b[2J\u001b[H").slice(1);
    await until(async () => views()[1]?.includes(portal) === true);
    state.signal?.("SIGINT");

    expect(await done).toBe(0);
    expect(views()[0]).toContain(portal);
  });
});

describe("cody-gateway admin sync", () => {
  it("tells of each source what changed, and shows no bar where nobody looks", async () => {
    list([...all.slice(0, 248), fresh, { id: all[249]?.id ?? "", name: "Renamed" }]);
    const { code, stdout, stderr, row } = await admin("sync");

    expect(code).toBe(0);
    expect(stderr).toBe("");
    expect(stdout.split("\n")[0]).toMatch(
      /^source +outcome +seen +added +changed +unchanged +removed +left out +pages +took +error$/,
    );
    expect(row?.split(/ +/).slice(1, 8)).toEqual(["succeeded", "250", "1", "1", "248", "1", "0"]);
  });

  it("shows on a terminal how far it is, in one line, which is gone at the end", async () => {
    const { stderr, row } = await admin(`sync ${portal}`, { isTTY: true });

    const shown = stderr.split("\r\u001b[2K").filter((text) => text !== "");
    expect(stderr).not.toContain("\n");
    expect(shown.at(0)).toBe(`${portal} …`);
    expect(shown).toContainEqual(expect.stringMatching(/ \[#+-*\] \d+ % +0 added, 0 changed, 0 removed$/));
    expect(stderr.endsWith("\r\u001b[2K")).toBe(true);
    expect(row).toMatch(/succeeded +250/);
  });

  it("stays in its one line on a terminal that is narrow", async () => {
    const { stderr } = await admin(`sync ${portal}`, { isTTY: true, columns: 40 });

    const shown = stderr.split("\r\u001b[2K").filter((text) => text !== "");
    expect(shown.length).toBeGreaterThan(1);
    expect(shown.filter((text) => text.length > 39)).toEqual([]);
  });

  it("with --dry-run says what it would do, and does nothing", async () => {
    list([...all.slice(1), fresh]);
    const { code, stdout } = await admin(`sync ${portal} --dry-run`);

    expect(code).toBe(0);
    expect(stdout).toContain(`${portal}: adds ${fresh.id} Fresh`);
    expect(stdout).toContain(`${portal}: removes ${first.id} Customer 0`);
    expect((await admin(`actor ${portal}/${first.id}`)).code).toBe(0);
    expect((await admin(`actor ${portal}/${fresh.id}`)).stderr).toContain("NOT_FOUND");
  });

  it("ends with 3 when it is held, says why and what lets it through, which does", async () => {
    list(all.slice(0, 100));
    const held = await admin(`sync ${portal}`);

    expect(held.code).toBe(3);
    expect(held.stderr).toMatch(/^error: dotcom-product-subscriptions: .*150.*250/);
    expect(held.stderr).toContain(`cody-gateway admin sync ${portal} --allow-shrink --reason …`);
    expect(held.row).toMatch(/ held +/);
    expect((await sourceOf(portal))?.actorCount).toBe(250);

    const without = await admin(`sync ${portal} --allow-shrink`);
    expect(without).toMatchObject({ code: 2, stderr: expect.stringContaining("--reason") });
    expect((await admin(`sync ${portal} --allow-shrink --reason cleanup`)).code).toBe(0);
    expect((await sourceOf(portal))?.actorCount).toBe(100);
  });

  it("ends with 1 when it fails, and says why", async () => {
    ends.portal.fail({ kind: "status", status: 500 });
    const { code, row } = await admin("sync");

    expect(code).toBe(1);
    expect(row).toMatch(/ failed +0 +0 +0 +0 +0 +0 +\d+ +.* ms +.*\w/);
  });

  it("prints the messages of the API with --json, one a line", async () => {
    const { stdout } = await admin(`sync ${portal} --json`);

    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(lines[0]).toMatchObject({ source: portal, started: {} });
    expect(lines.at(-1)).toMatchObject({
      source: portal,
      finished: { summary: { counts: { seen: 250, unchanged: 250 } } },
    });
  });
});
