// Malformed and ambiguous HTTP/1.1: each case is refused and ends the connection, whatever follows on it, and no handler sees it.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { head, rawConnect } from "../helpers/raw-http.js";
import { type Served, serve } from "./serve.js";

const get = (...headers: string[]) => head("GET /first HTTP/1.1", headers);
const post = (headers: string[], body = "") => head("POST /first HTTP/1.1", headers, body);
const target = (text: string) => head(`GET ${text} HTTP/1.1`);
const chunked = (body: string) => post(["Transfer-Encoding: chunked"], body);
const many = (count: number) => Array.from({ length: count }, (_, index) => `X-${index}: v`);

// biome-ignore format: a table
const hosts = [
  "[", "]", "[]", "[::1", "::1", "a:b:c", "a:b", "a:", ":80", "a:99999", "a:-1", "a:080x", "a b", "a/b", "a\\b", "a?b",
  "a#b", "a@b", "user:pass@a", "http://a", "a,b", "a;b", "a%zz", "%00", "a%2fb", "<a>", "a|b", "a^b", "a`b", "{a}",
  'a"b', "é", "1.2.3.4.5", "256.256.256.256", "[::g]", "[1::2::3]", "[fe80::1%25eth0]", "0x100000000", "..",
  "a".repeat(300), "a\tb",
];

// biome-ignore format: a table
const targets = [
  "*", "http://evil.test/", "https://evil.test/", "//evil.test", "//evil.test/x", "/\\evil.test", "/\\\\evil.test",
  "\\\\evil.test", "/a\\b", "/a/../b", "/..", "/.", "/./a", "/a/..", "/a/.", "/../../etc/passwd", "/%2e%2e/a",
  "/%2E%2E/a", "/a/%2e", "/.%2e/a", "/%2e./a", "/a%2fb", "/a%2Fb", "/%2f%2fevil.test", "/a%5cb", "/a%5Cb", "/a%00b",
  "/a%0ab", "/a%0d%0ab", "/a%1fb", "/a%7fb", "/%", "/%2", "/%zz", "/%g0", "/a?b=%", "/a?b=%zz", "/a%252fb", "/a#b",
  "/a?b#c", "evil", "evil.test:80", "?a", "@evil.test", "/a b", "/\xe9", "/a\x7f", "/a?\\", "javascript:alert(1)",
  "/a/..?x", "/a/.?x",
];

/** Description, then what is sent. */
const cases: readonly (readonly [string, string])[] = [
  ...hosts.map((host) => [`host ${JSON.stringify(host.slice(0, 40))}`, get(`Host: ${host}`)] as const),
  ...targets.map((text) => [`target ${JSON.stringify(text)}`, target(text)] as const),

  ["no host", "GET /first HTTP/1.1\r\n\r\n"],
  ["HTTP/1.0 without host", "GET /first HTTP/1.0\r\n\r\n"],
  ["empty host", get("Host:")],
  ["blank host", get("Host:   ")],
  ["two hosts", get("Host: a", "Host: b")],
  ["two equal hosts", get("Host: a", "Host: a")],
  ["two hosts in other capitals", get("HOST: a", "hOsT: a")],
  ["host after a space", get("Host : a")],
  ["two authorizations", get("Authorization: Bearer a", "Authorization: Bearer b")],
  ["two equal authorizations", get("Authorization: Bearer a", "authorization: Bearer a")],
  ["two API keys", get("X-Api-Key: a", "x-api-key: b")],
  ["two Google API keys", get("X-Goog-Api-Key: a", "x-goog-api-key: b")],
  ["two content types", post(["Content-Type: a/b", "Content-Type: c/d", "Content-Length: 0"])],
  ["two content encodings", post(["Content-Encoding: gzip", "Content-Encoding: gzip", "Content-Length: 0"])],

  ["length and transfer encoding", post(["Content-Length: 3", "Transfer-Encoding: chunked"], "0\r\n\r\n")],
  ["transfer encoding and length", post(["Transfer-Encoding: chunked", "Content-Length: 3"], "0\r\n\r\n")],
  ["empty transfer encoding and length", post(["Transfer-Encoding:", "Content-Length: 3"], "abc")],
  ["empty transfer encoding", post(["Transfer-Encoding:"])],
  ["two lengths", post(["Content-Length: 3", "Content-Length: 4"], "abc")],
  ["two equal lengths", post(["Content-Length: 3", "Content-Length: 3"], "abc")],
  ["a list of lengths", post(["Content-Length: 3, 3"], "abc")],
  ["length +3", post(["Content-Length: +3"], "abc")],
  ["length -3", post(["Content-Length: -3"], "abc")],
  ["length 0x3", post(["Content-Length: 0x3"], "abc")],
  ["length 3.0", post(["Content-Length: 3.0"], "abc")],
  ["length 3 3", post(["Content-Length: 3 3"], "abc")],
  ["length without digits", post(["Content-Length:"], "abc")],
  ["length beyond 64 bits", post(["Content-Length: 99999999999999999999"], "abc")],
  ["length with a letter", post(["Content-Length: 3a"], "abc")],
  ["length after a space", post(["Content-Length : 3"], "abc")],
  ["transfer encoding gzip", post(["Transfer-Encoding: gzip"], "abc")],
  ["transfer encoding gzip, chunked", post(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n")],
  ["transfer encoding chunked, gzip", post(["Transfer-Encoding: chunked, gzip"], "0\r\n\r\n")],
  ["transfer encoding chunked, chunked", post(["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n")],
  ["transfer encoding twice", post(["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "0\r\n\r\n")],
  ["transfer encoding identity", post(["Transfer-Encoding: identity"], "abc")],
  ["transfer encoding identity and length", post(["Transfer-Encoding: identity", "Content-Length: 3"], "abc")],
  ["transfer encoding xchunked", post(["Transfer-Encoding: xchunked"], "0\r\n\r\n")],
  ["transfer encoding chunkedx", post(["Transfer-Encoding: chunkedx"], "0\r\n\r\n")],
  ["transfer encoding with a vertical tab", post(["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n")],
  ["transfer encoding in quotes", post(['Transfer-Encoding: "chunked"'], "0\r\n\r\n")],
  ["transfer encoding after a space", post(["Transfer-Encoding : chunked"], "0\r\n\r\n")],
  ["transfer encoding in HTTP/1.0", head("POST /first HTTP/1.0", ["Transfer-Encoding: chunked"], "0\r\n\r\n")],
  ["transfer encoding, folded", post(["Transfer-Encoding:\r\n chunked"], "0\r\n\r\n")],

  ["a folded header", get("X-A: a\r\n b")],
  ["a header folded with a tab", get("X-A: a\r\n\tb")],
  ["a folded host", get("Host: a\r\n b")],
  ["a first header that begins with a space", "GET /first HTTP/1.1\r\n X-A: a\r\nHost: a\r\n\r\n"],
  ["bare line feeds", "GET /first HTTP/1.1\nHost: a\n\n"],
  ["one bare line feed", "GET /first HTTP/1.1\r\nHost: a\n\r\n"],
  ["a bare line feed before the end", "GET /first HTTP/1.1\r\nHost: a\r\n\n"],
  ["a bare carriage return in a value", get("X-A: a\rb")],
  ["a bare carriage return for a line end", "GET /first HTTP/1.1\rHost: a\r\r"],
  ["a NUL in a value", get("X-A: a\0b")],
  ["a control character in a value", get("X-A: a\x01b")],
  ["a DEL in a value", get("X-A: a\x7fb")],
  ["an escape character in a value", get("X-A: \x1b[31m")],
  ["a NUL in a name", get("X\0A: a")],
  ["a space in a name", get("X A: a")],
  ["a bracket in a name", get("X(A): a")],
  ["a high byte in a name", get("X\xe9: a")],
  ["an empty name", get(": a")],
  ["a line without a colon", get("nonsense")],
  ["a line of a colon", get(":")],

  ["chunk size zz", chunked("zz\r\nabc\r\n0\r\n\r\n")],
  ["chunk size 0x3", chunked("0x3\r\nabc\r\n0\r\n\r\n")],
  ["chunk size -1", chunked("-1\r\nabc\r\n0\r\n\r\n")],
  ["chunk size +3", chunked("+3\r\nabc\r\n0\r\n\r\n")],
  ["chunk size beyond 64 bits", chunked("fffffffffffffffff\r\nabc\r\n0\r\n\r\n")],
  ["no chunk size", chunked("\r\nabc\r\n0\r\n\r\n")],
  ["chunk longer than its size", chunked("3\r\nabcd\r\n0\r\n\r\n")],
  ["chunk shorter than its size", chunked("5\r\nabc\r\n0\r\n\r\n")],
  ["chunk line with a bare line feed", chunked("3\nabc\r\n0\r\n\r\n")],
  ["chunk data with a bare line feed", chunked("3\r\nabc\n0\r\n\r\n")],
  ["chunk extension with a bare line feed", chunked("3;a\nabc\r\n0\r\n\r\n")],
  ["chunk extension with an open quote", chunked('3;a="b\r\nabc\r\n0\r\n\r\n')],
  ["chunk size after a space", chunked(" 3\r\nabc\r\n0\r\n\r\n")],
  ["a length among the trailers", chunked("0\r\nContent-Length: 5\r\n\r\n")],
  ["a folded trailer", chunked("0\r\nX-A: a\r\n b\r\n\r\n")],

  ["HTTP/0.9", "GET /first\r\n\r\n"],
  ["a head that says HTTP/0.9", head("GET /first HTTP/0.9")],
  ["a head that says HTTP/1.2", head("GET /first HTTP/1.2")],
  ["a head that says HTTP/2.0", head("GET /first HTTP/2.0")],
  ["a head that says HTTP/3.0", head("GET /first HTTP/3.0")],
  ["a version in small letters", head("GET /first http/1.1")],
  ["a version with a tail", head("GET /first HTTP/1.1x")],
  ["a version with a space behind", head("GET /first HTTP/1.1 ")],
  ["HTTPS for a version", head("GET /first HTTPS/1.1")],
  ["a method in small letters", head("get /first HTTP/1.1")],
  ["an unknown method", head("FOO /first HTTP/1.1")],
  ["a method with a control character", head("GE\x01T /first HTTP/1.1")],
  ["no method", head("/first HTTP/1.1")],
  ["tabs for spaces", "GET\t/first\tHTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a request line of nothing", " \r\n\r\n"],
  ["a response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
  ["the preface with another end", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"],
  ["random bytes", "\xde\xad\xbe\xef\xde\xad\xbe\xef\r\n\r\n"],
  ["CONNECT", "CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test:80\r\n\r\n"],

  ["101 headers", get(...many(100))],
  ["500 headers", get(...many(500))],
  ["3000 headers", get(...Array.from({ length: 3000 }, () => "a:b"))],
  ["a head of 20 KiB", get(`X-A: ${"a".repeat(20_000)}`)],
  ["a target of 20 KiB", target(`/${"a".repeat(20_000)}`)],

  ["an expectation that is none", post(["Expect: 200-ok", "Content-Length: 3"], "abc")],
  ["two expectations", post(["Expect: 100-continue", "Expect: 100-continue", "Content-Length: 3"], "abc")],
  ["an upgrade to WebSocket", get("Connection: Upgrade", "Upgrade: websocket")],
  ["an upgrade to TLS", get("Connection: Upgrade", "Upgrade: TLS/1.0")],
];

describe("malformed HTTP/1.1", () => {
  let served: Served;
  beforeAll(async () => {
    served = await serve({ limits: { lingerMs: 200 } });
  });
  afterAll(() => served.listener.close());

  it("has a corpus worth the name", () => {
    expect(cases.length).toBeGreaterThanOrEqual(150);
  });

  it.each(cases)("refuses %s, and what follows it", async (_, bytes) => {
    served.seen.length = 0;
    const connection = await rawConnect(served.port);
    connection.send(`${bytes}${head("GET /smuggled HTTP/1.1")}`);
    const reply = await connection.reply();
    await connection.ended;
    connection.destroy();

    expect(reply?.status ?? 400).toBeGreaterThanOrEqual(400);
    expect(await connection.reply()).toBeUndefined();
    expect(served.seen.filter((each) => !each.startsWith("POST /first"))).toEqual([]);
    if (reply) {
      expect(JSON.parse(reply.body)).toEqual({ error: expect.any(String) });
      expect(reply.headers).toMatchObject({ connection: "close", "content-type": "application/json" });
      expect(reply.headers["x-request-id"]).toMatch(/^[\w-]{36}$/);
    }
  });

  it("still serves, on a connection that goes on, once it is over", async () => {
    const connection = await rawConnect(served.port);
    for (const path of ["/a", "/b", "/c"]) {
      connection.send(head(`GET ${path} HTTP/1.1`));
      expect(await connection.reply()).toMatchObject({ status: 200 });
    }
    connection.destroy();
    expect(served.log.lines.filter((line) => line.level === "error")).toEqual([]);
  });
});
