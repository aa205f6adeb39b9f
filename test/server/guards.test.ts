import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkHead, isHost, isTarget } from "../../src/server/guards.js";

interface Changes {
  readonly method?: string;
  readonly url?: string;
  readonly httpVersion?: string;
  readonly headers?: readonly string[];
}

const check = ({ method = "POST", url = "/v1/x", httpVersion = "1.1", headers = [] }: Changes, rpc = false) =>
  checkHead({ method, url, httpVersion, rawHeaders: ["Host", "gateway.test", ...headers] }, 100, rpc);

const fill = (count: number) => Array.from({ length: count }, (_, index) => [`x-${index}`, "v"]).flat();

const ofHttp2 = (...rawHeaders: string[]) =>
  checkHead({ method: "GET", url: "/", httpVersion: "2.0", rawHeaders: [":method", "GET", ...rawHeaders] }, 100, false);

describe("isHost", () => {
  it.each([
    "localhost",
    "gateway.example.com",
    "gateway.example.com.",
    "Gateway.Example.COM",
    "my_service",
    "a",
    "1.2.3.4",
    "[::1]",
    "[2001:db8::ff00:42:8329]",
    "[::ffff:1.2.3.4]",
    "localhost:9992",
    "[::1]:9992",
    "a:0",
    "a:65535",
    "xn--bcher-kva.example",
  ])("accepts %s", (host) => {
    expect(isHost(host)).toBe(true);
  });

  it("accepts nothing of which no URL can be made", () => {
    // biome-ignore format: a table
    const part = fc.constantFrom(
      "a", "1", "0x", ".", "..", "-", "_", ":", "[", "]", "%", "xn--", "256", "::", "@", "/", " ",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const host = parts.join("");
        if (isHost(host)) expect(new URL("/x", `http://${host}`).pathname).toBe("/x");
      }),
      { numRuns: 5000 },
    );
  });

  it("keeps its answer however many hosts it is asked about", () => {
    for (let i = 0; i < 2500; i++) expect(isHost(`host-${i}`)).toBe(true);
    expect(isHost("host-1")).toBe(true);
    expect(isHost("a:b")).toBe(false);
  });
});

describe("isTarget", () => {
  it.each([
    "/",
    "/v1/completions/anthropic-messages",
    "/codygateway.v1.CompletionsService/Complete",
    "/google/v1beta/models/gemini-2.0-flash:generateContent?key=abc&alt=sse",
    "/a?message=%7B%22a%22%3A1%7D&encoding=json&connect=v1",
    "/a?redirect=http://b/../c",
    "/a?x={y}|z[0]",
    "/-/__version",
    "/a//b",
    "/a/",
    "/.well-known/x",
    "/a/..b/...",
    "/a%20b",
    "/~x;y=1,2",
    "/?",
  ])("accepts %s", (target) => {
    expect(isTarget(target)).toBe(true);
  });

  it("accepts nothing that a URL parser reads otherwise", () => {
    // biome-ignore format: a table
    const part = fc.constantFrom(
      "/", "//", ".", "..", "\\", "%2e", "%2f", "%", "%5c", "?", "#", "a", "@", ":", "\t", "é", "%41",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const target = parts.join("");
        if (!isTarget(target)) return;
        const [path] = target.split("?");
        const url = new URL(target, "http://gateway.test");
        expect(url.host).toBe("gateway.test");
        expect(url.pathname).toBe(path);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("checkHead", () => {
  it("passes what clients send", () => {
    const headers = [
      "Content-Type",
      "application/json",
      "Authorization",
      "Bearer x",
      "X-Api-Key",
      "",
      "Content-Length",
      "2",
    ];
    expect(check({ headers })).toBeUndefined();
    expect(check({ headers: ["Content-Encoding", "gzip"] })).toBeUndefined();
    expect(check({ headers: ["Content-Encoding", "identity"] })).toBeUndefined();
    expect(check({ headers: ["Transfer-Encoding", "Chunked"] })).toBeUndefined();
    expect(check({ headers: ["Expect", "100-continue"] })).toBeUndefined();
    expect(check({ headers: ["Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c"] })).toBeUndefined();
    expect(check({ httpVersion: "1.0", method: "GET" })).toBeUndefined();
    expect(check({ headers: ["Accept", "a", "Accept", "b", "X-Foo", "1", "X-Foo", "2"] })).toBeUndefined();
    expect(check({ headers: ["__proto__", "a", "constructor", "b", "toString", "c"] })).toBeUndefined();
  });

  it.each(["TRACE", "CONNECT", "PROPFIND", "PURGE", "SOURCE", "M-SEARCH", "PRI", ""])("refuses method %j", (method) => {
    expect(check({ method })).toMatchObject({ status: 405, headers: { allow: "GET, HEAD, POST, OPTIONS" } });
  });

  it.each(["br", "deflate", "zstd", "compress", "x-gzip", "gzip, gzip", "gzip,identity", "*"])(
    "refuses content encoding %j",
    (encoding) => {
      expect(check({ headers: ["Content-Encoding", encoding] })).toMatchObject({ status: 415 });
    },
  );

  it("refuses transfer encodings that the next server may read otherwise", () => {
    const chunked = ["Transfer-Encoding", "chunked"];
    expect(check({ headers: chunked, httpVersion: "1.0" })).toMatchObject({ status: 400 });
    expect(check({ headers: [...chunked, "Content-Length", "3"] })).toMatchObject({ status: 400 });
    expect(check({ headers: ["Transfer-Encoding", "gzip, chunked"] })).toMatchObject({ status: 501 });
    expect(check({ headers: ["Transfer-Encoding", ""] })).toMatchObject({ status: 501 });
  });

  it("leaves content encodings to the RPC protocols, which tell what they accept", () => {
    expect(check({ headers: ["Content-Encoding", "br"] }, true)).toBeUndefined();
  });

  it("counts headers", () => {
    expect(check({ headers: fill(99) })).toBeUndefined();
    expect(check({ headers: fill(100) })).toMatchObject({ status: 431 });
    expect(check({ headers: fill(3000) })).toMatchObject({ status: 431 });
  });

  describe("of HTTP/2", () => {
    it("takes the authority, or the host where there is none", () => {
      expect(ofHttp2(":authority", "a")).toBeUndefined();
      expect(ofHttp2("host", "a")).toBeUndefined();
      expect(ofHttp2(":authority", "a", "host", "a")).toBeUndefined();
      expect(ofHttp2()).toMatchObject({ status: 400, reason: "host" });
    });

    it("refuses an authority and a host that differ", () => {
      expect(ofHttp2(":authority", "a", "host", "b")).toMatchObject({ status: 400, reason: "host" });
    });
  });
});
