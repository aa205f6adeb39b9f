// Malformed HTTP/2: ends its stream or its connection, and no handler sees it.

import { constants } from "node:http2";
import { describe, expect, it } from "vitest";
import {
  flag,
  frame,
  headers,
  ping,
  preface,
  requestFields,
  settings,
  settingsAck,
  type,
  windowUpdate,
} from "../helpers/h2-frames.js";
import { client, isReset, raw, request } from "./http2-client.js";
import { serve, soonMs } from "./serve.js";

const malformedHeads: [string, [string, string][]][] = [
  ["a name in capitals", [...requestFields(), ["X-A", "a"]]],
  ["a Connection header", [...requestFields(), ["connection", "close"]]],
  ["a Transfer-Encoding header", [...requestFields(), ["transfer-encoding", "chunked"]]],
  ["an Upgrade header", [...requestFields(), ["upgrade", "websocket"]]],
  ["te: gzip", [...requestFields(), ["te", "gzip"]]],
  ["no path", requestFields({ ":path": undefined })],
  ["an empty path", requestFields({ ":path": "" })],
  ["no method", requestFields({ ":method": undefined })],
  ["no scheme", requestFields({ ":scheme": undefined })],
  ["two paths", [...requestFields(), [":path", "/b"]]],
  ["two authorities", [...requestFields(), [":authority", "b"]]],
  ["an unknown pseudo-header", [...requestFields(), [":proxy", "a"]]],
  ["a status", [...requestFields(), [":status", "200"]]],
  ["a pseudo-header behind a header", [["x-a", "a"], ...requestFields()]],
  ["two lengths", [...requestFields({ ":method": "POST" }), ["content-length", "1"], ["content-length", "2"]]],
  ["a length of letters", [...requestFields({ ":method": "POST" }), ["content-length", "abc"]]],
  ["a length without a body", [...requestFields({ ":method": "POST" }), ["content-length", "5"]]],
  ["a space in the path", requestFields({ ":path": "/a b" })],
  ["a line feed in the path", requestFields({ ":path": "/a\nb" })],
  ["a line feed in the method", requestFields({ ":method": "GET\n" })],
];

const malformedFrames: [string, Buffer[]][] = [
  ["data on stream 0", [frame(type.data, 0, 0, Buffer.from("a"))]],
  ["data on a stream that was never opened", [frame(type.data, 0, 5, Buffer.from("a"))]],
  ["headers on stream 0", [headers(0)]],
  ["headers on an even stream", [headers(2)]],
  ["a window update of 0", [windowUpdate(0, 0)]],
  ["a window update beyond the limit", [windowUpdate(0, 0x7fffffff), windowUpdate(0, 0x7fffffff)]],
  ["a window update of 3 bytes", [frame(type.windowUpdate, 0, 0, Buffer.alloc(3))]],
  ["settings of 5 bytes", [frame(type.settings, 0, 0, Buffer.alloc(5))]],
  ["settings on a stream", [frame(type.settings, 0, 1, Buffer.alloc(6))]],
  ["settings with a bad window", [settings([4, 0xffffffff])]],
  ["settings with a bad frame size", [settings([5, 1])]],
  ["an acknowledgement with a body", [frame(type.settings, flag.ack, 0, Buffer.alloc(6))]],
  ["a ping of 7 bytes", [frame(type.ping, 0, 0, Buffer.alloc(7))]],
  ["a ping on a stream", [frame(type.ping, 0, 1, Buffer.alloc(8))]],
  ["a push promise", [frame(type.pushPromise, flag.endHeaders, 1, Buffer.alloc(8))]],
  ["a continuation of nothing", [frame(type.continuation, flag.endHeaders, 1, Buffer.alloc(1))]],
  ["a continuation of another stream", [headers(1, requestFields(), 0), frame(type.continuation, flag.endHeaders, 3)]],
  ["another frame within a header block", [headers(1, requestFields(), 0), ping()]],
  ["a frame beyond the size limit", [frame(type.data, 0, 1, Buffer.alloc(20_000))]],
  ["more padding than payload", [frame(type.data, flag.padded, 1, Buffer.from([255, 0]))]],
  ["a reset of an idle stream", [frame(type.reset, 0, 7, Buffer.alloc(4))]],
  ["a reset of 3 bytes", [frame(type.reset, 0, 1, Buffer.alloc(3))]],
  ["a header block that is no HPACK", [frame(type.headers, flag.endHeaders, 1, Buffer.alloc(8, 0xff))]],
  ["a header index that does not exist", [frame(type.headers, flag.endHeaders, 1, Buffer.from([0xfe]))]],
  [
    "a header table of 4 GiB",
    [frame(type.headers, flag.endHeaders, 1, Buffer.from([0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f]))],
  ],
  ["a priority of 4 bytes", [frame(type.priority, 0, 1, Buffer.alloc(4))]],
  ["a goaway of 3 bytes", [frame(type.goaway, 0, 0, Buffer.alloc(3))]],
  ["HTTP/1.1 behind the preface", [Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]],
];

describe("malformed HTTP/2", () => {
  it.each(malformedHeads)("resets the stream of a request with %s", async (_, fields) => {
    await using served = await serve();
    const connection = await raw(served, [preface, settings(), settingsAck, headers(1, fields)]);
    const answer = await connection.next((each) => each.stream === 1 || each.type === type.goaway);
    const refused = answer?.type === type.headers && answer.payload.includes(0x8c);
    expect(answer === undefined || answer.type === type.reset || answer.type === type.goaway || refused).toBe(true);
    expect(served.seen).toEqual([]);
  });

  it.each(malformedFrames)("ends the connection, or the stream, on %s", async (_, bytes) => {
    await using served = await serve({ http: () => {}, limits: { headMs: 100, lingerMs: 50 } });
    const connection = await raw(served, [preface, settings(), settingsAck, ...bytes]);
    const answer = await connection.next((each) => each.type === type.goaway || each.type === type.reset);
    if (answer?.type === type.reset) return;
    expect(await connection.ended).toBeLessThan(soonMs);
    expect(await request(client(served), { ":path": "/", ":method": "TRACE" })).toMatchObject({ status: 405 });
  });

  it("never opens more streams than it told", async () => {
    await using served = await serve({ http: () => {}, limits: { maxStreams: 10 } });
    const streams = Array.from({ length: 15 }, (_, index) => headers(index * 2 + 1));
    const connection = await raw(served, [preface, settings(), ...streams]);
    const refused = await connection.next(isReset(29));
    expect(refused?.payload.readUInt32BE()).toBe(constants.NGHTTP2_REFUSED_STREAM);
    expect(served.listener.requests).toBe(10);
  });

  it("passes over a stream below one that was opened", async () => {
    await using served = await serve();
    const connection = await raw(served, [preface, settings(), settingsAck, headers(9), headers(3), headers(11)]);
    await connection.next((each) => each.stream === 11);
    expect(served.seen).toHaveLength(2);
  });
});
