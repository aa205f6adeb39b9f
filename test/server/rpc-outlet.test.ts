// What is written past Connect, against what Connect writes of the same.

import { request as requestHttp1 } from "node:http";
import { connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  CompletionsService,
  StreamCompleteRequestSchema,
  type StreamCompleteResponse,
  StreamCompleteResponseSchema,
} from "../../gen/codygateway/v1/completions_pb.js";
import { createOutflow } from "../../src/api/outflow.js";
import { outletOf } from "../../src/api/outlet.js";
import { createListener, type Listener } from "../../src/server/listener.js";
import { createRpcHandler } from "../../src/server/rpc.js";
import { recordingLog } from "../helpers/log.js";

const delta = (text: string, index = 0): StreamCompleteResponse =>
  create(StreamCompleteResponseSchema, { event: { case: "textDelta", value: { text, index } } });

const compressMinBytes = 1024;
const large = "large ".repeat(1000);
interface Answer {
  /** Messages as they come. */
  readonly batches: readonly (readonly StreamCompleteResponse[])[];
  /** How many of them Connect has to write. */
  readonly byConnect: number;
  readonly byConnectAsJson?: number;
}

const answers: Record<string, Answer> = {
  plain: { batches: [[delta("a"), delta("b", 1)], [delta("ä €"), delta("")], [delta("d")]], byConnect: 1 },
  // Long enough to be compressed for who takes it compressed: in its place among the others.
  large: { batches: [[delta("a"), delta("b"), delta(large), delta("c")], [delta(large)], [delta("d")]], byConnect: 3 },
  // No binary message can have such an index: the answer ends there.
  broken: {
    batches: [
      [delta("a"), delta("b")],
      [delta("c", 5e9), delta("d")],
    ],
    byConnect: 2,
    byConnectAsJson: 1,
  },
  empty: { batches: [], byConnect: 0 },
};

function answerTo(model = ""): Answer {
  const answer = answers[model];
  if (!answer) throw new Error(`no answer of ${model}`);
  return answer;
}

let listener: Listener;
let port: number;
/** Messages that went by way of Connect. */
let counted = 0;
let direct = true;

const counting: Interceptor = (next) => async (req) => {
  const res = await next(req);
  if (!res.stream) return res;
  async function* count<M>(messages: AsyncIterable<M>): AsyncGenerator<M> {
    for await (const each of messages) {
      counted++;
      yield each;
    }
  }
  return { ...res, message: count(res.message) };
};

beforeAll(async () => {
  const handler = createRpcHandler(
    {
      routes: (router) =>
        void router.service(CompletionsService, {
          streamComplete(req, context) {
            const { batches } = answerTo(req.completion?.model);
            const outlet = direct ? outletOf(context.values) : undefined;
            const answer = createOutflow<StreamCompleteResponse>(outlet, { max: 1, sizeOf: () => 1 });
            void (async () => {
              for (const batch of batches) {
                answer.push(batch);
                await new Promise<void>((resolve) => answer.onRoom(resolve));
              }
              answer.end();
            })();
            return answer;
          },
        }),
      interceptors: [counting],
      shutdownSignal: new AbortController().signal,
    },
    { compressMinBytes },
  );
  listener = createListener(
    { ...handler, http: (_req, res) => void res.writeHead(404).end(), log: recordingLog() },
    { limits: { sweepMs: 20 } },
  );
  port = await listener.listen(0, "127.0.0.1");
});
afterAll(() => listener.close());

function requestBody(model: string, json: boolean): Buffer {
  const message = json
    ? Buffer.from(JSON.stringify({ completion: { model } }))
    : Buffer.from(
        toBinary(StreamCompleteRequestSchema, create(StreamCompleteRequestSchema, { completion: { model } })),
      );
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const path = `/${CompletionsService.typeName}/StreamComplete`;

function overHttp1(headers: Record<string, string>, body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const req = requestHttp1({ port, host: "127.0.0.1", method: "POST", path, headers }, (res) => {
      const chunks: Buffer[] = [];
      res.on("data", (chunk: Buffer) => chunks.push(chunk));
      res.on("end", () => resolve(Buffer.concat(chunks)));
      res.on("error", reject);
    });
    req.on("error", reject);
    req.end(body);
  });
}

/** The body, and the status that gRPC puts behind it. */
async function overHttp2(headers: Record<string, string>, body: Buffer): Promise<Buffer> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({ ...headers, ":method": "POST", ":path": path });
    let status = "";
    stream.on("trailers", (trailers) => (status = String(trailers["grpc-status"])));
    stream.end(body);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat([...chunks, Buffer.from(status)]);
  } finally {
    session.close();
  }
}

const kinds = [
  { type: "application/connect+proto", ask: overHttp1 },
  { type: "application/connect+json", ask: overHttp1 },
  { type: "application/grpc-web+proto", ask: overHttp1 },
  { type: "application/grpc-web+json", ask: overHttp1 },
  { type: "application/connect+proto", ask: overHttp2 },
  { type: "application/grpc", ask: overHttp2 },
  { type: "application/grpc+json", ask: overHttp2 },
];

describe.each(kinds)("$type, $ask.name", ({ type, ask }) => {
  const encodings = { connect: "connect-accept-encoding", grpc: "grpc-accept-encoding" };
  const accept = type.includes("grpc") ? encodings.grpc : encodings.connect;
  const headers = { "content-type": type, "connect-protocol-version": "1", te: "trailers", [accept]: "gzip" };

  it.each(Object.keys(answers))("an answer that is %s is the same past Connect as by way of it", async (model) => {
    const json = type.endsWith("json");
    const body = requestBody(model, json);
    const { byConnect, byConnectAsJson = byConnect } = answerTo(model);

    direct = false;
    const expected = await ask(headers, body);
    direct = true;
    counted = 0;
    const answer = await ask(headers, body);

    expect(answer.equals(expected)).toBe(true);
    expect(counted).toBe(json ? byConnectAsJson : byConnect);
  });
});
