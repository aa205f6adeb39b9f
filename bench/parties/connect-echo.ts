// A bare connect-node handler: answers completions from memory. `connect-echo.js HTTP1_PORT H2C_PORT`

import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  CompleteResponseSchema,
  CompletionsService,
  StreamCompleteResponseSchema,
} from "../../gen/codygateway/v1/completions_pb.js";

const [http1Port, h2cPort] = process.argv.slice(2).map(Number);
/** As many as a streamed answer of the benchmarks' upstream has. */
const messages = 200;
const text = "An answer of the length that a model writes at a time. ".repeat(2);

const whole = create(CompleteResponseSchema, {
  id: "chatcmpl-bench",
  model: "openai/gpt-4o",
  message: { role: 2, parts: [{ kind: { case: "text", value: text.repeat(16) } }] },
  stopReason: 1,
});
const delta = create(StreamCompleteResponseSchema, { event: { case: "textDelta", value: { index: 0, text } } });

function routes(router: ConnectRouter): void {
  router.service(CompletionsService, {
    complete: () => whole,
    async *streamComplete() {
      for (let sent = 0; sent < messages; sent++) yield delta;
    },
  });
}

createHttp1Server({ keepAliveTimeout: 120_000 }, connectNodeAdapter({ routes })).listen(http1Port, "127.0.0.1");
createHttp2Server(connectNodeAdapter({ routes })).listen(h2cPort, "127.0.0.1");
