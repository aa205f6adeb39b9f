import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { type ReadExport, type ReadSpan, readExport } from "./otlp.js";

/** A collector that takes OTLP over HTTP on a free port. */
export interface TraceReceiver extends AsyncDisposable {
  readonly url: string;
  /** What was taken. */
  readonly exports: readonly ReadExport[];
  /** All that came, taken or not: where to, with what. */
  readonly calls: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly bytes: Buffer }[];
  /** The first span that `matches`, received already or not. */
  span(matches: (span: ReadSpan) => boolean): Promise<ReadSpan>;
  /** All spans that match, once there are so many. */
  spans(matches: (span: ReadSpan) => boolean, atLeast: number): Promise<readonly ReadSpan[]>;
  /** Resolves when so many calls have come. */
  called(times: number): Promise<void>;
  /** Answers so from now on: with a status and a body, or not at all. Undefined: it takes what comes. */
  answerWith(answer: { readonly status: number; readonly body?: string | Buffer } | "silence" | undefined): void;
}

export async function startTraceReceiver(): Promise<TraceReceiver> {
  const exports: ReadExport[] = [];
  const calls: { path: string; headers: IncomingHttpHeaders; bytes: Buffer }[] = [];
  const waiting = new Set<() => void>();
  let answer: Parameters<TraceReceiver["answerWith"]>[0];

  const take = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const sent = Buffer.concat(chunks);
    const bytes = req.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
    calls.push({ path: req.url ?? "", headers: req.headers, bytes });
    if (answer === undefined || (answer !== "silence" && answer.status < 300)) exports.push(readExport(bytes));
    if (answer !== "silence") {
      res.writeHead(answer?.status ?? 200, { "content-type": "application/x-protobuf" });
      res.end(answer?.body ?? "");
    }
    for (const look of waiting) look();
  };
  const server = createServer((req, res) => void take(req, res));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  const until = <T>(find: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const look = (): void => {
        const found = find();
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      look();
    });

  const received = (): readonly ReadSpan[] => exports.flatMap(({ spans }) => spans);

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exports,
    calls,
    span: (matches) => until(() => received().find(matches)),
    spans: (matches, atLeast) =>
      until(() => {
        const found = received().filter(matches);
        return found.length >= atLeast ? found : undefined;
      }),
    called: async (times) => void (await until(() => (calls.length >= times ? true : undefined))),
    answerWith(given) {
      answer = given;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
