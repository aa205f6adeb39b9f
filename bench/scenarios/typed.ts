// B7, B8: the typed RPCs, against a bare handler of the same framework.

import { create, toBinary } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import {
  CompleteRequestSchema,
  CompletionsService,
  StreamCompleteRequestSchema,
} from "../../gen/codygateway/v1/completions_pb.js";
import { chatRequest } from "../harness/bodies.js";
import { h2load, type LoadResult, type Request, streams, wrk } from "../harness/load.js";
import { columns, type Goal, medianOf, type Result, titled } from "../harness/results.js";
import { withCost } from "../harness/rounds.js";
import { type BenchOptions, compare, type Scenario, withParties } from "../harness/scenario.js";
import type { Party } from "../parties/parties.js";

/** How an RPC travels. */
type Wire = "Connect HTTP/1.1" | "Connect h2c" | "gRPC h2c";

const wires: readonly Wire[] = ["Connect HTTP/1.1", "Connect h2c", "gRPC h2c"];
const messages = 200;

interface Contender {
  readonly name: string;
  readonly party: Party;
  /** Absent: the chat request passed through. */
  readonly wire?: Wire;
}

const completion = create(CompleteRequestSchema, {
  model: "openai/gpt-4o",
  input: {
    case: "chat",
    value: { messages: [{ role: 1, parts: [{ kind: { case: "text", value: "x".repeat(900) } }] }] },
  },
});
const unary = Buffer.from(toBinary(CompleteRequestSchema, completion));
const streaming = enveloped(
  Buffer.from(toBinary(StreamCompleteRequestSchema, create(StreamCompleteRequestSchema, { completion }))),
);

function enveloped(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function request({ port, h2cPort, headers }: Party, wire: Wire, method: "Complete" | "StreamComplete"): Request {
  const stream = method === "StreamComplete";
  const connect = {
    "content-type": stream ? "application/connect+proto" : "application/proto",
    "connect-protocol-version": "1",
  };
  const grpc = { "content-type": "application/grpc+proto", te: "trailers" };
  return {
    port: wire === "Connect HTTP/1.1" ? port : h2cPort,
    path: `/${CompletionsService.typeName}/${method}`,
    headers: { ...headers, ...(wire === "gRPC h2c" ? grpc : connect) },
    body: stream ? streaming : wire === "gRPC h2c" ? enveloped(unary) : unary,
  };
}

/** One call each by a real client: a load generator does not see what is inside an answer. */
async function checkTyped({ name, port, h2cPort, headers }: Party, wire: Wire, stream: boolean): Promise<void> {
  const http2 = { baseUrl: `http://127.0.0.1:${h2cPort}`, httpVersion: "2" } as const;
  const transport: Transport =
    wire === "gRPC h2c"
      ? createGrpcTransport({ baseUrl: http2.baseUrl })
      : createConnectTransport(
          wire === "Connect h2c" ? http2 : { baseUrl: `http://127.0.0.1:${port}`, httpVersion: "1.1" },
        );
  const client = createClient(CompletionsService, transport);
  try {
    await callOnce(client, stream, headers.authorization ?? "");
  } catch (error) {
    throw new Error(`${name} does not answer as it should over ${wire}`, { cause: error });
  }
}

async function callOnce(
  client: Client<typeof CompletionsService>,
  stream: boolean,
  authorization: string,
): Promise<void> {
  const options = { headers: { authorization }, timeoutMs: 10_000 };
  if (!stream) {
    const answer = await client.complete(completion, options);
    if (answer.message?.parts.length !== 1) throw new Error("an answer without a part");
    return;
  }
  let deltas = 0;
  for await (const { event } of client.streamComplete({ completion }, options))
    if (event.case === "textDelta") deltas++;
  if (deltas !== messages) throw new Error(`${deltas} deltas instead of ${messages}`);
}

function contendersOf(parties: readonly Party[]): Contender[] {
  return parties.flatMap((party): Contender[] =>
    party.name === "bare"
      ? [{ name: "bare, passed through", party }]
      : wires.map((wire) => ({ name: `${party.name}, ${wire}`, party, wire })),
  );
}

const unarySample = ({ requests, seconds, errors, p50, p99, p999 }: LoadResult) => ({
  units: requests,
  sample: { rps: requests / seconds, p50, p99, p999, errors },
});

const shown = [columns.p50, columns.p99, columns.p999, columns.rss, columns.busy, columns.loadBusy, columns.errors];

/** B7: one message each way. */
export const b7: Scenario = {
  id: "B7",
  title: "typed Complete, 32 at a time, binary messages",
  parties: ["bare", "connect-echo", "gateway"],
  run: (options) =>
    withParties(
      b7.parties,
      { answerBytes: 2048, stream: { chunks: 1, everyUs: 0 } },
      options,
      async (parties, folder) => {
        const contenders = contendersOf(parties);
        for (const { party, wire } of contenders) if (wire) await checkTyped(party, wire, false);
        const load = { connections: 32, seconds: options.seconds, folder };
        const measure = async ({ party, wire }: Contender): Promise<LoadResult> => {
          if (!wire) return wrk({ ...party, path: party.chatPath, body: chatRequest(1024) }, load);
          const call = request(party, wire, "Complete");
          return wire === "Connect HTTP/1.1" ? wrk(call, load) : h2load(call, { ...load, connections: 4, streams: 8 });
        };
        return compare(
          {
            ...b7,
            contenders,
            columns: [columns.rps, columns.cpuUs, ...shown],
            measure: (contender) =>
              withCost(contender.party.running, async () => unarySample(await measure(contender))),
            goals: typedGoals,
          },
          options,
        );
      },
    ),
};

function typedGoals(rows: Result["rows"]): readonly Goal[] {
  const bare = medianOf(rows, "bare, passed through", "cpuUs");
  return wires.map((wire) => ({
    text: `CPU per request, gateway ÷ (connect echo + 1.3 × bare), ${wire}`,
    kind: "at most",
    limit: 1,
    value:
      medianOf(rows, `gateway, ${wire}`, "cpuUs") / (medianOf(rows, `connect-echo, ${wire}`, "cpuUs") + 1.3 * bare),
  }));
}

/** B8: a streamed answer. */
export const b8: Scenario = {
  id: "B8",
  title: `typed StreamComplete, ${messages} messages, 16 streams at a time, upstream unpaced`,
  parties: ["connect-echo", "gateway"],
  run: (options) =>
    withParties(
      b8.parties,
      { answerBytes: 400, stream: { chunks: messages, everyUs: 0 } },
      options,
      async (parties, folder) => {
        const contenders = contendersOf(parties);
        for (const { party, wire } of contenders) if (wire) await checkTyped(party, wire, true);
        return compare(
          {
            ...b8,
            contenders,
            columns: [titled(columns.rps, "streams/s"), titled(columns.cpuUs, "CPU µs/message"), ...shown],
            measure: ({ party, wire = "gRPC h2c" }) =>
              withCost(party.running, () => streamLoad(request(party, wire, "StreamComplete"), wire, options, folder)),
            goals: (rows) =>
              wires.map((wire) => ({
                text: `CPU per message, gateway ÷ connect echo, ${wire}`,
                kind: "at most" as const,
                limit: 1.5,
                value: medianOf(rows, `gateway, ${wire}`, "cpuUs") / medianOf(rows, `connect-echo, ${wire}`, "cpuUs"),
              })),
          },
          options,
        );
      },
    ),
};

async function streamLoad(call: Request, wire: Wire, { seconds }: BenchOptions, folder: string) {
  if (wire !== "Connect HTTP/1.1") {
    const { units, sample } = unarySample(await h2load(call, { connections: 4, streams: 4, seconds, folder }));
    return { units: units * messages, sample };
  }
  const result = await streams(call, { connections: 16, seconds, folder });
  const { p50, p99, p999 } = result.durationUs;
  const sample = { rps: result.streams / result.seconds, p50, p99, p999, errors: result.errors };
  return { units: result.streams * messages, sample };
}
