// Calls served past Connect, against the same with a body that is said to be not packed, which Connect serves.

import { connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CompleteRequestSchema, CompletionsService } from "../../gen/codygateway/v1/completions_pb.js";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.js";
import { createListener, type Listener } from "../../src/server/listener.js";
import { createRpcHandler } from "../../src/server/rpc.js";
import { recordingLog } from "../helpers/log.js";

const maxBytes = 2048;
const large = "large ".repeat(1000);

/** What the handler does, by the model that is asked for. */
const handlers: Record<string, (header: Headers, trailer: Headers, context: HandlerContext) => object> = {
  plain: () => ({ id: "ä €" }),
  empty: () => ({}),
  large: () => ({ id: large }),
  headers(header, trailer) {
    header.set("x-more", "in front");
    trailer.set("x-behind", "at the end");
    return { id: "with headers" };
  },
  stripped(header) {
    header.delete("content-type");
    return { id: "without headers" };
  },
  refused() {
    const detail = { desc: BadRequestSchema, value: { fieldViolations: [{ field: "model", description: "no" }] } };
    throw new ConnectError("not ä this", Code.ResourceExhausted, { "x-more": "of it" }, [detail]);
  },
  denied() {
    const detail = { desc: BadRequestSchema, value: { fieldViolations: [{ field: "ä €", description: "no" }] } };
    throw new ConnectError("not % ä € this", Code.FailedPrecondition, undefined, [detail, detail]);
  },
  unspeakable() {
    throw new ConnectError("half a letter: \ud83d", Code.Internal);
  },
  verbose() {
    throw new ConnectError(large, Code.Internal);
  },
  silent() {
    throw new ConnectError("", Code.NotFound, [
      ["set-cookie", "a=b"],
      ["set-cookie", "c=d"],
      ["x-more", "1"],
      ["x-more", "2"],
    ]);
  },
  patient: (_header, _trailer, { signal }) =>
    new Promise<never>((_resolve, reject) => {
      const end = (): void => reject(signal.reason as Error);
      if (signal.aborted) end();
      else if (seen.at(-1)?.deadline) signal.addEventListener("abort", end);
      else reject(new ConnectError("waits for ever", Code.Internal));
    }),
  broken() {
    throw new Error("not for callers");
  },
  // No binary message can have such a number.
  impossible: () => ({ usage: { inputTokens: 1.5 } }),
};

let listener: Listener;
let port: number;
/** Calls that the handler got, and whether they had a deadline. */
const seen: { readonly model: string; readonly deadline: boolean }[] = [];

/** Throws before there is a promise. */
const refusing: Interceptor = (next) => (call) => {
  if (call.header.has("x-refuse")) throw new ConnectError("refused on the way", Code.PermissionDenied);
  return next(call);
};

beforeAll(async () => {
  const handler = createRpcHandler(
    {
      routes: (router) =>
        void router.service(CompletionsService, {
          complete({ model }, context) {
            seen.push({ model, deadline: context.timeoutMs() !== undefined });
            const answer = handlers[model.split(" ")[0] ?? ""];
            if (!answer) throw new Error(`nothing is done for ${model}`);
            return answer(context.responseHeader, context.responseTrailer, context);
          },
        }),
      interceptors: [refusing],
      shutdownSignal: new AbortController().signal,
    },
    { compressMinBytes: maxBytes },
  );
  const limits = { sweepMs: 20 };
  listener = createListener(
    { ...handler, http: (_req, res) => void res.writeHead(404).end(), log: recordingLog() },
    { limits },
  );
  port = await listener.listen(0, "127.0.0.1");
});
afterAll(() => listener.close());

const path = `/${CompletionsService.typeName}/Complete`;
const perCall = ["x-request-id", "x-trace", "x-trace-span", "date"];

interface Answer {
  readonly headers: Record<string, unknown>;
  readonly body: Buffer;
  readonly trailers: Record<string, unknown>;
}

async function overHttp1(headers: Record<string, string>, body: Buffer): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers,
    body: new Uint8Array(body),
  });
  const told = [...answer.headers].filter(([name]) => !perCall.includes(name));
  return {
    headers: { ":status": answer.status, ...Object.fromEntries(told) },
    body: Buffer.from(await answer.arrayBuffer()),
    trailers: {},
  };
}

async function overHttp2(headers: Record<string, string>, body: Buffer): Promise<Answer> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({ ...headers, ":method": "POST", ":path": path });
    let told: Record<string, unknown> = {};
    let trailers: Record<string, unknown> = {};
    stream.on("response", (received) => (told = { ...received }));
    stream.on("trailers", (received) => (trailers = { ...received }));
    stream.end(body);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    for (const name of perCall) delete told[name];
    return { headers: told, body: Buffer.concat(chunks), trailers };
  } finally {
    session.close();
  }
}

const connectHeaders = { "connect-protocol-version": "1", "accept-encoding": "gzip" };
const grpcHeaders = { te: "trailers", "grpc-accept-encoding": "identity,gzip" };
const connectElse = { byConnect: { "content-encoding": "identity" }, timeout: "connect-timeout-ms" };
const grpcElse = { byConnect: { "grpc-encoding": "identity" }, timeout: "grpc-timeout" };

const kinds = [
  { type: "application/proto", ask: overHttp1, headers: connectHeaders, ...connectElse },
  { type: "application/json", ask: overHttp1, headers: connectHeaders, ...connectElse },
  { type: "application/proto", ask: overHttp2, headers: connectHeaders, ...connectElse },
  { type: "application/grpc", ask: overHttp2, headers: grpcHeaders, ...grpcElse },
  { type: "application/grpc+json", ask: overHttp2, headers: grpcHeaders, ...grpcElse },
  { type: "application/grpc+proto", ask: overHttp2, headers: { te: "trailers" }, ...grpcElse },
  { type: "application/grpc-web", ask: overHttp1, headers: {}, ...grpcElse },
  { type: "application/grpc-web+proto", ask: overHttp2, headers: grpcHeaders, ...grpcElse },
  { type: "application/grpc-web+json", ask: overHttp1, headers: grpcHeaders, ...grpcElse },
];

describe.each(kinds)("$type, $ask.name", ({ type, ask, headers, byConnect, timeout }) => {
  const bodyOf = (model: string): Buffer => {
    const message = type.endsWith("json")
      ? Buffer.from(JSON.stringify({ model, unknownToUs: 1 }))
      : Buffer.from(toBinary(CompleteRequestSchema, create(CompleteRequestSchema, { model })));
    return type.includes("grpc") ? enveloped(message) : message;
  };

  async function compare(body: Buffer, more: Record<string, string> = {}, less?: string): Promise<Answer> {
    const all: Record<string, string> = { ...headers, ...more, "content-type": type };
    if (less !== undefined) delete all[less];
    const [answer, connects] = [await ask(all, body), await ask({ ...all, ...byConnect }, body)];
    // Ours are in one piece, whose length is known.
    if (type.includes("grpc-web"))
      for (const { headers: told } of [answer, connects]) {
        if ("content-length" in told) expect(told["content-length"]).toBe(String(answer.body.length));
        delete told["content-length"];
        delete told["transfer-encoding"];
      }
    expect(answer).toEqual(connects);
    return answer;
  }

  it.each(Object.keys(handlers))("a call that is %s is answered as by Connect, and once", async (model) => {
    seen.length = 0;
    await compare(bodyOf(model));
    expect(seen).toEqual([
      { model, deadline: false },
      { model, deadline: false },
    ]);
  });

  const ms = timeout === "grpc-timeout" ? "m" : "";
  it.each([
    ["plain", `60000${ms}`, true],
    ["refused", `60000${ms}`, true],
    ["patient", `50${ms}`, true],
    ["patient", `0${ms}`, true],
    ["plain", "soon", undefined],
  ])("a call that is %s, with %j to be answered, is answered as by Connect", async (model, value, deadline) => {
    seen.length = 0;
    await compare(bodyOf(model), { [timeout]: value });
    expect(seen).toEqual(
      deadline === undefined
        ? []
        : [
            { model, deadline },
            { model, deadline },
          ],
    );
  });

  it.each([1, 100])("a long request, %i times as long as others, is read whole", async (times) => {
    seen.length = 0;
    const model = `plain ${large.repeat(times)}`;
    const { body } = await compare(bodyOf(model));
    expect(body.length).toBeGreaterThan(0);
    expect(seen.map((call) => call.model)).toEqual([model, model]);
  });

  it.each(["", "\u0001\u0002", "\u0000\u0000\u0000\u0000\u0009plain", "{", "\u0001\u0000\u0000\u0000\u0000"])(
    "bytes that are no message (%j) are refused as by Connect",
    async (bytes) => {
      await compare(Buffer.from(bytes));
    },
  );

  it("what an interceptor throws is told as by Connect", async () => {
    seen.length = 0;
    await compare(bodyOf("plain"), { "x-refuse": "yes" });
    expect(seen).toEqual([]);
  });

  it("two messages in place of one are refused as by Connect", async () => {
    await compare(Buffer.concat([bodyOf("plain"), bodyOf("plain")]));
  });

  it.each(["connect-protocol-version", "accept-encoding", "grpc-accept-encoding"])(
    "without %s it is answered as by Connect",
    async (name) => {
      await compare(bodyOf("plain"), {}, name);
    },
  );
});

function enveloped(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
