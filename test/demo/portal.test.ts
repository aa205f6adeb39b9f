import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { CodyAccessService } from "../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";
import { createDemoPortal, type DemoPortal, type DemoPortalOptions } from "../../src/demo/portal.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";

async function started(options?: DemoPortalOptions): Promise<DemoPortal> {
  const portal = createDemoPortal(options);
  await portal.listen();
  return portal;
}

const client = (transport: Transport) => createClient(CodyAccessService, transport);
const grpc = ({ url }: DemoPortal) => client(createGrpcTransport({ baseUrl: url }));
const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "ok",
    (error: unknown) => Code[ConnectError.from(error).code],
  );

describe("the demo's Enterprise Portal", () => {
  it.each([
    ["gRPC", (baseUrl: string) => createGrpcTransport({ baseUrl })],
    ["gRPC-Web over HTTP/1.1", (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect over HTTP/1.1", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect over HTTP/2", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" })],
  ])("answers over %s", async (_, transport) => {
    await using portal = await started();
    portal.set({ id: demoUuid("acme"), name: "Acme Inc", tokens: [demoToken("acme")], chat: [7, 60] });

    const { access } = await client(transport(portal.url)).getCodyGatewayAccess({
      query: { case: "accessToken", value: demoToken("acme") },
    });

    expect(access).toMatchObject({
      subscriptionId: `es_${demoUuid("acme")}`,
      subscriptionDisplayName: "Acme Inc",
      enabled: true,
      chatCompletionsRateLimit: { limit: 7n, intervalDuration: { seconds: 60n } },
    });
  });

  it("finds by id and by token, and says what it does not find", async () => {
    await using portal = await started();
    portal.set({ id: demoUuid("acme") });
    const get = (query: { case: "accessToken" | "subscriptionId"; value: string }) =>
      codeOf(grpc(portal).getCodyGatewayAccess({ query }));

    expect(await get({ case: "subscriptionId", value: `es_${demoUuid("acme")}` })).toBe("ok");
    expect(await get({ case: "subscriptionId", value: `es_${demoUuid("other")}` })).toBe("NotFound");
    expect(await get({ case: "accessToken", value: demoToken("other") })).toBe("NotFound");
    expect(await get({ case: "accessToken", value: "" })).toBe("InvalidArgument");
  });

  it("lists all at once and refuses to page, as portals of today do", async () => {
    await using portal = await started();
    portal.set(demoSubscriptions(3));

    expect((await grpc(portal).listCodyGatewayAccesses({})).accesses).toHaveLength(3);
    expect(await codeOf(grpc(portal).listCodyGatewayAccesses({ pageSize: 10 }))).toBe("Unimplemented");
  });

  it("lists page by page where it can", async () => {
    await using portal = await started({ pages: true, maxPageSize: 4 });
    portal.set(demoSubscriptions(10));
    const seen: string[] = [];
    let pageToken = "";
    let pages = 0;
    do {
      const page = await grpc(portal).listCodyGatewayAccesses({ pageSize: 500, pageToken });
      seen.push(...page.accesses.map(({ subscriptionDisplayName }) => subscriptionDisplayName));
      pageToken = page.nextPageToken;
      pages++;
    } while (pageToken);

    expect(pages).toBe(3);
    expect(seen).toEqual(Array.from({ length: 10 }, (_, index) => `Customer ${index}`));
  });

  it("asks for a token of the right scope", async () => {
    const scopes: Record<string, string[]> = { good: ["enterprise_portal::codyaccess::read"], other: ["openid"] };
    await using portal = await started({ scopesOf: (token) => scopes[token] });
    const call = (token: string) =>
      codeOf(grpc(portal).listCodyGatewayAccesses({}, { headers: { authorization: `Bearer ${token}` } }));

    expect([await call("good"), await call("other"), await call("none")]).toEqual([
      "ok",
      "PermissionDenied",
      "Unauthenticated",
    ]);
  });

  it("leaves the limits of a disabled subscription out, and tells of its tokens", async () => {
    await using portal = await started();
    portal.set({ id: demoUuid("acme"), enabled: false });

    const [access] = (await grpc(portal).listCodyGatewayAccesses({})).accesses;

    expect(access).toMatchObject({ enabled: false, accessTokens: [{ token: demoToken(demoUuid("acme")) }] });
    expect(access?.chatCompletionsRateLimit).toBeUndefined();
  });

  it.each([
    { kind: "refuse" },
    { kind: "no-handshake" },
    { kind: "hang" },
    { kind: "slow", delayMs: 60_000 },
    { kind: "status", status: 502 },
    { kind: "garbage" },
    { kind: "cut" },
  ] as const)("fails when told to, so often as it is told: %o", async (fault) => {
    await using portal = await started();
    portal.fail(fault, { times: 1 });

    expect(await codeOf(grpc(portal).listCodyGatewayAccesses({}, { timeoutMs: 1_500 }))).not.toBe("ok");
    expect(await codeOf(grpc(portal).listCodyGatewayAccesses({}))).toBe("ok");
  });

  it("can be stopped and be there again on the same port", async () => {
    await using portal = await started();
    const { port } = new URL(portal.url);

    await portal.close();
    expect(await codeOf(grpc(portal).listCodyGatewayAccesses({}))).toBe("Unavailable");

    await portal.listen(Number(port));
    expect(await codeOf(grpc(portal).listCodyGatewayAccesses({}))).toBe("ok");
  });
});
