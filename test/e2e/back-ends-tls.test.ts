// Gateways as an operator starts them, and an Enterprise Portal with TLS: what counts is whether Node trusts its certificate.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDemoPortal, type DemoPortal } from "../../src/demo/portal.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { selfSigned } from "../helpers/certificate.js";
import { type Fleet, type GatewayProcess, startFleet } from "../helpers/processes.js";

let folder: string;
let portal: DemoPortal;
let fleet: Fleet;
let trusting: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cody-tls-"));
  const tls = selfSigned();
  await writeFile(join(folder, "authority.pem"), tls.cert);
  portal = createDemoPortal({ tls, hostname: "localhost" });
  portal.set(demoSubscriptions(1));
  await portal.listen();
  trusting = { NODE_EXTRA_CA_CERTS: join(folder, "authority.pem") };
  const env = { CODY_GATEWAY_ENTERPRISE_PORTAL_URL: portal.url };
  // Each in memory, for itself.
  fleet = await startFleet({ redis: "", actors: {}, gateways: 0, env });
});

afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  await portal.close();
  await rm(folder, { recursive: true });
});

async function chat({ url }: GatewayProcess): Promise<number> {
  const { status } = await fetch(`${url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${demoToken(demoUuid("0"))}` },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hello" }] }),
  });
  return status;
}

describe("an Enterprise Portal with TLS", () => {
  it("is told nothing when its authority is not trusted", async () => {
    const gateway = await fleet.start();

    expect(await chat(gateway)).toBe(503);
    await expect
      .poll(() => gateway.log)
      .toContain("Enterprise Portal has a certificate that is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT)");
    expect(portal.calls).toEqual([]);
  });

  it.each(["grpc", "connect"])("is asked in %s when its authority is trusted", async (protocol) => {
    const gateway = await fleet.start({ ...trusting, CODY_GATEWAY_ENTERPRISE_PORTAL_PROTOCOL: protocol });

    expect(await chat(gateway)).toBe(200);
    await portal.waitFor((call) => call.protocol === protocol);
  });
});
