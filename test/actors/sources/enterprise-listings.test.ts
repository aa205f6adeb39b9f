// Listings of the Enterprise Portal that are not what they look like.

import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect, it, onTestFinished } from "vitest";
import {
  CodyGatewayAccessSchema,
  ListCodyGatewayAccessesResponseSchema,
} from "../../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";
import type { ListedEntry } from "../../../src/actors/source.js";
import { createEnterpriseSource } from "../../../src/actors/sources/enterprise.js";
import { createDemoPortal } from "../../../src/demo/portal.js";
import { accessOf, type DemoSubscription, demoSubscriptions } from "../../../src/demo/subscriptions.js";
import { rawUpstream } from "../../helpers/raw-upstream.js";

const burst = { percentage: 50, windowMs: 10_000 };

async function listed(url: string, protocol: "grpc" | "connect"): Promise<readonly ListedEntry[]> {
  const source = createEnterpriseSource({ clock: { now: Date.now } }, { url, protocol, userAgent: "test", burst });
  try {
    const all: ListedEntry[] = [];
    for await (const { entries } of source.list?.(new AbortController().signal) ?? []) all.push(...entries);
    return all;
  } finally {
    await source.close?.();
  }
}

/** A listing of so many. One of less is its beginning. */
function listingOf(count: number): Uint8Array {
  const accesses = demoSubscriptions(count).map((each) => create(CodyGatewayAccessSchema, accessOf(each)));
  return toBinary(ListCodyGatewayAccessesResponseSchema, create(ListCodyGatewayAccessesResponseSchema, { accesses }));
}

const length = `content-length: ${listingOf(3).length}`;

it.each([
  [length, undefined],
  ["connection: close", "answered with data_loss: answer does not say where it ends"],
  [`content-encoding: zstd\r\n${length}`, 'answered with internal: unsupported response encoding "zstd"'],
])("one of which it cannot be told what all of it is, is not taken for complete (%#)", async (header, problem) => {
  await using portal = await rawUpstream({
    onData(socket) {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\n${header}\r\n\r\n`);
      socket.end(listingOf(3));
    },
  });
  const all = listed(`http://127.0.0.1:${portal.port}`, "connect");

  if (problem === undefined) expect(await all).toHaveLength(3);
  else await expect(all).rejects.toThrow(`Enterprise Portal ${problem}`);
});

it.each(["grpc", "connect"] as const)(
  "an entry of any length is left out alone, and it is said whose it is (%s)",
  async (by) => {
    await using portal = createDemoPortal();
    await portal.listen();
    const [first, last] = demoSubscriptions(2) as [DemoSubscription, DemoSubscription];
    const tokens = Array.from({ length: 20_000 }, (_, index) => `slk_${String(index).padStart(64, "0")}`);
    portal.set([first, { id: "of-many-tokens", tokens }, last]);

    expect(await listed(portal.url, by)).toMatchObject([
      { kind: "actor", actor: { id: first.id } },
      { kind: "invalid", id: "of-many-tokens", problem: "it cannot be decoded" },
      { kind: "actor", actor: { id: last.id } },
    ]);
  },
);

it("one that begins with who is for development says that it goes on, page by page", async () => {
  await using portal = createDemoPortal({ pages: true, maxPageSize: 10 });
  await portal.listen();
  portal.set(demoSubscriptions(30, (index) => (index === 7 ? { instanceType: "internal" } : {})));
  const source = createEnterpriseSource(
    { clock: { now: Date.now } },
    { url: portal.url, protocol: "grpc", userAgent: "test", burst, devLicensesOnly: true },
  );
  const pages: number[] = [];
  const admitted: string[] = [];
  for await (const { entries } of source.list?.(new AbortController().signal) ?? []) {
    const all = [...entries];
    pages.push(all.length);
    for (const entry of all) if (entry.kind === "actor" && entry.actor.accessEnabled) admitted.push(entry.actor.name);
  }
  await source.close?.();

  expect(pages).toEqual([0, 0, 0, 0, 0, 0, 10, 10, 10]);
  expect(admitted).toEqual(["Customer 7"]);
});

it("an answer of gRPC without a message is not taken for one of nobody", async () => {
  const portal = createServer().on("stream", (stream) => {
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
    stream.end();
  });
  await new Promise<void>((resolve) => portal.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void portal.close());
  const { port } = portal.address() as AddressInfo;

  await expect(listed(`http://127.0.0.1:${port}`, "grpc")).rejects.toThrow(
    "Enterprise Portal answered with internal: received no message",
  );
});
