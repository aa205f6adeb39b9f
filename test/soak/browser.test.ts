// Calls from pages in a real browser, by the generated client and as SDKs make them: of an origin that may, and of one that may
// not. Outside of the suite, for it needs Chromium.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, it } from "vitest";
import { adminTokens } from "../helpers/admin.js";
import { ensureProgram } from "../helpers/debian.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

type Results = Readonly<Record<string, string>>;

/** Serves the page, and hears what came of its calls. */
interface PageServer extends AsyncDisposable {
  readonly origin: string;
  results(): Promise<Results>;
}

let page: string;
let profile: string;
let chromium: string;
beforeAll(async () => {
  chromium = await ensureProgram("chromium", "chromium");
  profile = await mkdtemp(join(tmpdir(), "cody-browser-"));
  const entry = resolve(import.meta.dirname, "browser-page.ts");
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false, format: "iife" });
  page = `<!doctype html><script>${outputFiles[0]?.text.replaceAll("</script", "<\\/script")}</script>`;
}, 300_000);
afterAll(() => rm(profile, { recursive: true, force: true }));

async function servePage(): Promise<PageServer> {
  let tell: (results: Results) => void = () => {};
  const told = new Promise<Results>((resolved) => {
    tell = resolved;
  });
  const hear = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    res.end();
    tell(JSON.parse(Buffer.concat(chunks).toString()) as Results);
  };
  const server = createServer((req, res) => {
    if (req.method === "POST") void hear(req, res);
    else res.writeHead(200, { "content-type": "text/html" }).end(page);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    results: () => told,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Opens the page in a browser of its own, until it has told its results. */
async function browse(server: PageServer, gateway: TestGateway): Promise<Results> {
  const query = new URLSearchParams({ gateway: gateway.url, token });
  const options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
  const browser: ChildProcess = spawn(
    chromium,
    [...options, `--user-data-dir=${profile}`, `${server.origin}/?${String(query)}`],
    { stdio: "ignore" },
  );
  const ended = once(browser, "exit");
  try {
    return await Promise.race([server.results(), ended.then(() => Promise.reject(new Error("the browser ended")))]);
  } finally {
    browser.kill();
    await ended;
  }
}

it("lets pages of an origin that is set call, and no others", async () => {
  await using allowed = await servePage();
  await using other = await servePage();
  await using gw = await testGateway({
    env: { CODY_GATEWAY_CORS_ORIGINS: allowed.origin, CODY_GATEWAY_ADMIN_TOKENS: adminTokens },
  });

  expect(await browse(allowed, gw)).toEqual({
    "connect unary": "done",
    "connect stream": "hello browser",
    "grpc-web stream": "hello browser",
    "grpc-web refusal": expect.stringContaining("[unauthenticated]"),
    "sdk stream": "200 true,true,true true",
    // Never from a page.
    administration: "failed: TypeError",
  });
  gw.reset();

  const refused = await browse(other, gw);
  expect(Object.values(refused).filter((result) => !/^failed: |Failed to fetch/.test(result))).toEqual([]);
  expect(gw.upstream.calls).toEqual([]);
}, 120_000);
