// Requests as clients in the field put them on the wire, byte for byte, and what their upstream saw of them.

import type { DemoCall } from "../../src/demo/call.js";
import { type TestGateway, token } from "./gateway.js";
import { head, type RawReply, rawRequest } from "./raw-http.js";

/** One gateway as clients see it. Requests of several tests may be under way at once. */
export interface Wire {
  /**
   * `line` is `POST /v1/limits`; a body that is an object goes as JSON. Over a connection of its own. Who is told that sources
   * are asked too often comes again.
   */
  send(line: string, headers?: readonly string[], body?: object | string): Promise<RawReply>;
  /** The same with the token of the gateway's actor, for a chat unless `headers` says otherwise. */
  ask(path: string, body: object | string, headers?: readonly string[]): Promise<RawReply>;
  /** What the upstream saw of the request in whose body `marker` stands; undefined: it saw none. */
  seen(marker: string): DemoCall | undefined;
}

/** The header of an actor's token. */
export function bearer(of: string = token): string {
  return `Authorization: Bearer ${of}`;
}

/** What is said of the rate of look-ups, which goes by the machine's clock, whatever clock the tests have. */
const tooOften = "the token's source is asked too often";

let markers = 0;

/** A text that no other request has, without digits: it is not taken for the id of anybody. Fits wherever a user's id fits. */
export function marker(): string {
  return `marked-${String(++markers).replaceAll(/\d/g, (digit) => "abcdefghij"[Number(digit)] ?? "")}-so`;
}

export function wireTo(gw: TestGateway): Wire {
  const { port } = gw.gateway;

  async function send(line: string, headers: readonly string[] = [], body?: object | string): Promise<RawReply> {
    const text = typeof body === "object" ? JSON.stringify(body) : body;
    const length = text === undefined ? [] : [`Content-Length: ${Buffer.byteLength(text)}`];
    for (;;) {
      const reply = await rawRequest(port, head(`${line} HTTP/1.1`, [...headers, ...length], text));
      if (!reply) throw new Error(`no answer to ${line}`);
      if (!reply.body.includes(tooOften)) return reply;
    }
  }

  return {
    send,
    ask(path, body, headers = []) {
      const said = headers.some((each) => /^x-sourcegraph-feature:/i.test(each));
      const feature = said ? [] : ["X-Sourcegraph-Feature: chat_completions"];
      return send(`POST ${path}`, [bearer(), "Content-Type: application/json", ...feature, ...headers], body);
    },
    seen: (text) => gw.upstream.calls.find(({ body }) => body.toString().includes(text)),
  };
}
