// What the log is told of connections to Redis.

import type { Log } from "./log.js";

/** Says once that a server is away, and once that it is back. */
export interface Voice {
  failed(server: string, error: Error): void;
  ready(server: string): void;
}

/** Without `log` it says nothing. */
export function createVoice(role: string, log: Pick<Log, "info" | "warn"> | undefined): Voice {
  const away = new Map<string, string>();
  return {
    failed(server, error) {
      if (away.get(server) === error.message) return;
      away.set(server, error.message);
      log?.warn({ role, server, error: error.message }, "Redis is away");
    },
    ready(server) {
      away.delete(server);
      log?.info({ role, server }, "connected to Redis");
    },
  };
}
