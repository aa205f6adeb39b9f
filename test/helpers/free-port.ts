// Ports for servers that are told theirs. The ones that the system gives out by itself are above these: between the moment
// when a port is chosen and that when somebody listens on it, nobody else gets it by chance.

import { createServer } from "node:net";

/** A node of a Redis Cluster listens to the others on the port that is so much higher. */
const busOffset = 10_000;
const perWorker = 1_200;
/** Tests that run at the same time, in other processes, have other ports. */
const worker = Number(process.env.VITEST_POOL_ID ?? 0) % 8;
let given = Math.floor(Math.random() * perWorker);

/** A port that nobody listens on, neither on the one 10,000 above it, and that was given to nobody else of late. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + worker * perWorker + (given++ % perWorker);
    if ((await isFree(port)) && (await isFree(port + busOffset))) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
