import { createHttpCaller, type HttpAnswer } from "../../lib/http-caller.js";
import type { UsageEvent } from "../event.js";
import { EventsRefusedError, type Sink, SinkBusyError } from "../sink.js";
import { bareUrl, targetKey } from "../target.js";

export interface HttpSinkOptions {
  /** Sent with every delivery, secrets among them. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How the gateway names itself. */
  readonly userAgent?: string;
  /** Time for a delivery, from connecting to the end of the answer. Default 10 s. */
  readonly timeoutMs?: number;
}

/** `source` and `type` of every event: who made it, and what its data are. The version counts changes that break readers. */
export const cloudEventSource = "/cody-gateway";
export const cloudEventType = "com.sourcegraph.cody-gateway.usage.v1";

/**
 * Posts CloudEvents 1.0 in batches: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
 * User and password of the URL become basic authentication.
 */
export function createHttpSink(
  url: string,
  { headers = {}, userAgent, timeoutMs = 10_000 }: HttpSinkOptions = {},
): Sink {
  const { username, password, search } = new URL(url);
  const target = bareUrl(url);
  const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  const sent = {
    ...(username !== "" && { authorization: `Basic ${basic}` }),
    ...headers,
    "content-type": "application/cloudevents-batch+json; charset=UTF-8",
  };
  const caller = createHttpCaller("the sink", { timeoutMs, connections: 2, userAgent });
  return {
    name: "http",
    key: targetKey("http", target),
    async send(batch) {
      if (batch.length === 0) return;
      const body = JSON.stringify(batch.map(toCloudEvent));
      judge(await caller.post({ url: target + search, headers: sent, body }));
    },
    close: () => caller.close(),
  };
}

function toCloudEvent(event: UsageEvent) {
  return {
    specversion: "1.0",
    id: event.id,
    source: cloudEventSource,
    type: cloudEventType,
    time: event.time,
    datacontenttype: "application/json",
    data: event,
  };
}

/** Any 2xx is "delivered". What is not about the events themselves is worth another attempt. */
function judge({ status, retryAfterMs }: HttpAnswer): void {
  if (status >= 200 && status < 300) return;
  const message = `the sink answered ${status}`;
  if (status >= 400 && status < 500 && !passing.has(status)) throw new EventsRefusedError(message);
  throw retryAfterMs === undefined ? new Error(message) : new SinkBusyError(message, retryAfterMs);
}

/** Of the 4xx those that say "not now": timeout, too early, too many. */
const passing = new Set([408, 425, 429]);
