// HTTP/2 clients of a listener under test, closed after each test.

import { type ClientHttp2Session, connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { afterEach } from "vitest";
import { type Frame, type FrameConnection, type as frameType, h2Connect } from "../helpers/h2-frames.js";
import type { Served } from "./serve.js";

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

/** A client as Node has it. */
export function client(served: Served): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${served.port}`, { maxSessionMemory: 1000 });
  session.on("error", () => {});
  open.push(() => session.destroy());
  return session;
}

/** A client that sends just what it is told to. */
export async function raw(served: Served, first?: Buffer[]): Promise<FrameConnection> {
  const connection = await h2Connect(served.port, first);
  open.push(() => connection.destroy());
  return connection;
}

export interface Answer {
  readonly status: number | undefined;
  readonly headers: Record<string, unknown>;
  readonly body: string;
  readonly code: number;
}

/** One request, whole. */
export function request(
  session: ClientHttp2Session,
  fields: OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = session.request(fields, { endStream: body === undefined });
    let answered: Record<string, unknown> = {};
    let text = "";
    stream.on("response", (response) => {
      answered = { ...response };
    });
    stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    stream.on("error", () => {});
    stream.on("close", () =>
      resolve({
        status: answered[":status"] as number | undefined,
        headers: answered,
        body: text,
        code: stream.rstCode,
      }),
    );
    if (body !== undefined) stream.end(body);
  });
}

/** Matches a reset of the stream. */
export const isReset = (stream: number) => (each: Frame) => each.type === frameType.reset && each.stream === stream;
