// A sink for usage events that is down half of the time, and remembers what it got.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { UsageEvent } from "../../src/usage/event.js";

export interface FlappingSink extends AsyncDisposable {
  /** `http://127.0.0.1:4711/`, for `CODY_GATEWAY_EVENTS_SINKS`. */
  readonly url: string;
  /** All that it took, by id: an event may come twice, under one id. */
  readonly events: ReadonlyMap<string, UsageEvent>;
  /** Events that it took twice with something else in them. */
  readonly different: readonly UsageEvent[];
  /** Deliveries that failed. */
  readonly failures: number;
  up(): void;
  down(): void;
  /**
   * Goes down and up again and again, `everyMs` each, and down for longer where nothing came meanwhile that it could have
   * failed at; `up` and `down` end it.
   */
  flap(everyMs: number): void;
}

/** Ways to be down. What was taken before the answer got lost comes again. */
const ways = [
  "says 503",
  "resets the connection",
  "takes it and resets the connection",
  "takes it and says 500",
] as const;

export async function startFlappingSink(): Promise<FlappingSink> {
  const events = new Map<string, UsageEvent>();
  const different: UsageEvent[] = [];
  let isUp = true;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;

  function take(body: string): void {
    for (const { id, data } of JSON.parse(body) as { id: string; data: UsageEvent }[]) {
      const known = events.get(id);
      // A request that was refused because nobody knew whether it had been let in may be found abandoned.
      if (known?.outcome === data.outcome || known === undefined || known.outcome === "refused") events.set(id, data);
      else if (data.outcome !== "refused") different.push(data);
    }
  }

  function answer(req: IncomingMessage, res: ServerResponse, body: string): void {
    if (isUp) {
      take(body);
      res.writeHead(204).end();
      return;
    }
    const way = ways[failures++ % ways.length] ?? "";
    if (way.startsWith("takes")) take(body);
    if (way.endsWith("connection")) req.socket.resetAndDestroy();
    else res.writeHead(way.endsWith("500") ? 500 : 503).end();
  }

  const server = createServer((req, res) => {
    let body = "";
    req.setEncoding("utf8").on("data", (text: string) => (body += text));
    req.on("end", () => answer(req, res, body));
    req.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  function set(up: boolean): void {
    clearInterval(timer);
    isUp = up;
  }

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    events,
    different,
    get failures() {
      return failures;
    },
    up: () => set(true),
    down: () => set(false),
    flap(everyMs) {
      set(false);
      let before = failures;
      timer = setInterval(() => {
        if (!isUp && failures === before) return;
        isUp = !isUp;
        before = failures;
      }, everyMs);
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
