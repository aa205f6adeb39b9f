import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { request } from "undici";
import { expect, it } from "vitest";
import { callFailure } from "../../src/lib/call-error.js";

it.each(["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\ncontent-length: a\r\n\r\n"])(
  "who answers %j does not speak HTTP, and is not said to be away",
  async (bytes) => {
    const server = createServer((socket) => void socket.on("error", () => {}).once("data", () => socket.end(bytes)));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const error: unknown = await request(`http://127.0.0.1:${port}/`).catch((reason: unknown) => reason);
    server.close();
    expect(callFailure(error)).toEqual({ kind: "broken", why: "answered with what is not HTTP" });
  },
);
