// A listener for what the gateway posts to others.

import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Posted {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface WebhookListener extends AsyncDisposable {
  readonly url: string;
  readonly posted: readonly Posted[];
  /** Resolves once so many were posted. */
  received(count: number): Promise<readonly Posted[]>;
  /** How it answers from now on; 200 at first. */
  answer(how: (res: ServerResponse) => void): void;
}

export async function webhookListener(): Promise<WebhookListener> {
  const posted: Posted[] = [];
  const waiting = new Set<() => void>();
  let respond = (res: ServerResponse): void => void res.end("ok");
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      posted.push({ path: req.url ?? "", headers: req.headers, body: Buffer.concat(chunks).toString("utf8") });
      respond(res);
      for (const look of waiting) look();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    posted,
    received: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (posted.length < count) return;
          waiting.delete(look);
          resolve(posted);
        };
        waiting.add(look);
        look();
      }),
    answer: (how) => void (respond = how),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}
