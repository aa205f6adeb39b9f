// Usage events to Acme's collector, as a JSON array for each batch.

import type { Sink } from "../../../src/usage/sink.js";

/** Nothing else is sent before a delivery settles, so it has to settle. */
const timeoutMs = 10_000;

export function createAcmeSink(parts: { url: string; key: string; fetch?: typeof fetch }): Sink {
  const { url, key, fetch: request = fetch } = parts;
  return {
    name: "acme",
    async send(batch) {
      if (batch.length === 0) return;
      const answer = await request(url, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify(batch),
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs),
      });
      // Rejecting means "again later".
      if (!answer.ok) throw new Error(`the collector answered ${answer.status}`);
    },
  };
}
