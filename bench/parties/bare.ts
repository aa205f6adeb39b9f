// The limit of the runtime: relays requests with node:http and undici, and does nothing else. `bare.js PORT UPSTREAM_URL`

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type Dispatcher, Pool } from "undici";

const [port, upstream = ""] = process.argv.slice(2);
const pool = new Pool(upstream, { connections: 256, headersTimeout: 0, bodyTimeout: 0 });
const hop = new Set(["connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"]);

function relay(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
  const headers: string[] = ["authorization", "Bearer sk-upstream"];
  for (const [name, value] of Object.entries(req.headers))
    if (
      !hop.has(name) &&
      name !== "host" &&
      name !== "authorization" &&
      name !== "content-length" &&
      typeof value === "string"
    )
      headers.push(name, value);
  let upstreamAnswer: Dispatcher.DispatchController | undefined;
  res.once("close", () => {
    if (!res.writableFinished) upstreamAnswer?.abort(new Error("caller left"));
  });
  pool.dispatch(
    { method: "POST", path: req.url ?? "/", headers, body },
    {
      onRequestStart(controller) {
        upstreamAnswer = controller;
      },
      onResponseStart(_controller, status, answerHeaders) {
        const passed = Object.entries(answerHeaders).filter(([name]) => !hop.has(name));
        res.writeHead(status, Object.fromEntries(passed) as Record<string, string>);
      },
      onResponseData(controller, chunk) {
        if (res.write(chunk) || res.destroyed) return;
        controller.pause();
        res.once("drain", () => controller.resume());
      },
      onResponseEnd: () => void res.end(),
      onResponseError: () => void res.destroy(),
    },
  );
}

createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", () => relay(req, res, chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
}).listen(Number(port), "127.0.0.1");
