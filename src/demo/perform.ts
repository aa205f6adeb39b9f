// Plays one answer as its behaviour asks.

import { gzipSync } from "node:zlib";
import type { Answer, Ask } from "./answer.js";
import type { Behaviour } from "./behaviour.js";
import type { Frames, Generation, Vendor } from "./dialects/dialect.js";
import type { Output } from "./output.js";

/** What is to be played. */
export interface Performance {
  readonly vendor: Vendor;
  readonly requestId: string;
  readonly ask: Ask;
  readonly answer: Answer;
  readonly frames: Frames;
  readonly operation: Generation;
  readonly jsonArray: boolean;
  /** Called for each delta sent. */
  readonly onDelta: () => void;
}

type Headers = Record<string, string | readonly string[]>;

/** Plays everything that stands before the answer itself: waits, errors, redirects. True when that was all. */
export async function playInstead(
  out: Output,
  vendor: Vendor,
  requestId: string,
  behaviour: Behaviour,
): Promise<boolean> {
  if (behaviour.delayMs) await out.wait(behaviour.delayMs);
  const headers = answerHeaders(vendor, requestId, behaviour);
  if (behaviour.redirect !== undefined) {
    out.head(behaviour.redirectStatus ?? 307, { ...headers, location: behaviour.redirect, "content-length": "0" });
    out.end();
    return true;
  }
  if (behaviour.status !== undefined) {
    const retry = behaviour.retryAfter === undefined ? {} : { "retry-after": behaviour.retryAfter };
    sendJson(out, behaviour.status, { ...headers, ...retry }, vendor.error(behaviour.status, behaviour.message));
    return true;
  }
  if (behaviour.gzipBombMiB !== undefined) {
    const bomb = gzipSync(Buffer.alloc(behaviour.gzipBombMiB * 1024 * 1024, 0x20));
    out.head(200, { ...headers, "content-type": "application/json", "content-encoding": "gzip" });
    out.end(bomb);
    return true;
  }
  return false;
}

/** Plays the answer of a generation. */
export async function playAnswer(out: Output, performance: Performance, behaviour: Behaviour): Promise<void> {
  const { vendor, requestId, ask, answer, operation } = performance;
  const headers = answerHeaders(vendor, requestId, behaviour);
  if (ask.stream) return playStream(out, performance, headers, behaviour);
  if (behaviour.errorAfter !== undefined) return sendJson(out, 500, headers, vendor.error(500, undefined));
  await playWhole(out, headers, behaviour, operation.whole(ask, answer));
}

/** Sends a whole JSON answer, or what is left of it. */
export async function playWhole(out: Output, headers: Headers, behaviour: Behaviour, body: object): Promise<void> {
  const { dieAfter, truncateAfter, stallAfter, rawChunkBytes } = behaviour;
  const text = behaviour.garbage ? "<html><body>502 Bad Gateway</body></html>" : JSON.stringify(body);
  const bytes = Buffer.from(text);
  const json = { ...headers, "content-type": "application/json" };
  if (dieAfter === 0) return out.reset();
  const begin = bytes.subarray(0, Math.ceil(bytes.length / 2));
  if (truncateAfter !== undefined) {
    out.head(200, { ...json, "content-length": String(begin.length) });
    return out.end(begin);
  }
  out.head(200, { ...json, "content-length": String(bytes.length) });
  if (dieAfter !== undefined || stallAfter !== undefined) {
    await out.write(begin);
    return dieAfter === undefined ? out.over : out.reset();
  }
  if (rawChunkBytes === undefined) return out.end(bytes);
  await out.write(bytes);
  out.end();
}

/** The headers every answer of the vendor has, and more when asked. */
export function answerHeaders(vendor: Vendor, requestId: string, behaviour: Behaviour): Headers {
  return { [vendor.requestIdHeader]: requestId, ...(behaviour.headers && manyHeaders()) };
}

function sendJson(out: Output, status: number, headers: Headers, body: object): void {
  const bytes = Buffer.from(JSON.stringify(body));
  out.head(status, { ...headers, "content-type": "application/json", "content-length": String(bytes.length) });
  out.end(bytes);
}

async function playStream(
  out: Output,
  { answer, frames, jsonArray, onDelta }: Performance,
  headers: Headers,
  behaviour: Behaviour,
): Promise<void> {
  const { everyMs = 0, comments, halfEvent, garbage, garbageAfter = 0 } = behaviour;
  const type = jsonArray ? "application/json" : "text/event-stream; charset=utf-8";
  out.head(200, { ...headers, "content-type": type, "cache-control": "no-cache" });
  const frame = jsonArray ? arrayFrames() : (text: string): string => text;
  const { pieces } = answer;
  const at = (after: number | undefined): number => (after === undefined ? -1 : Math.min(after, pieces.length));
  const die = at(behaviour.dieAfter);
  const truncate = at(behaviour.truncateAfter);
  const stall = at(behaviour.stallAfter);
  const fail = at(behaviour.errorAfter);
  const startedAt = performance.now();

  await out.write(frame(frames.begin()));
  for (let sent = 0; !out.closed; sent++) {
    if (sent === die || sent === truncate) {
      if (halfEvent) await out.write(half(frames, answer, sent));
      return sent === die ? out.reset() : out.end();
    }
    if (sent === stall) return out.over;
    if (sent === fail) return out.end(frame(frames.error("The demo upstream was asked to fail here.")));
    const piece = pieces[sent];
    if (!piece) break;
    if (everyMs > 0 && sent > 0) await out.wait(startedAt + sent * everyMs - performance.now());
    if (comments) await out.write(": keep-alive\n\n");
    const text = garbage && sent >= garbageAfter ? 'data: {"half": \n\n' : frame(frames.piece(piece));
    // Counted before it is written: whoever has read it finds it counted.
    onDelta();
    const drained = text === "" ? undefined : out.write(text);
    if (drained) await drained;
  }
  const drained = out.write(frame(frames.finish()) + (jsonArray ? "]" : ""));
  if (drained) await drained;
  out.end();
}

/** The first half of an event, cut inside a character where it has one of several bytes. */
function half(frames: Frames, answer: Answer, sent: number): Buffer {
  const bytes = Buffer.from(frames.piece(answer.pieces[sent] ?? { kind: "text", text: "…" }));
  return bytes.subarray(0, Math.ceil(bytes.length / 2));
}

/** Turns events into the elements of a JSON array. */
function arrayFrames(): (text: string) => string {
  let first = true;
  return (text) => {
    const json = text.replaceAll(/^data: /gm, "").trim();
    if (json === "") return "";
    const before = first ? "[" : ",\r\n";
    first = false;
    return before + json;
  };
}

function manyHeaders(): Headers {
  const filler = Array.from({ length: 28 }, (_, index): [string, string] => [
    `x-demo-filler-${index}`,
    `value ${index}`,
  ]);
  return {
    "set-cookie": ["__cf_bm=demo; path=/; HttpOnly", "_cfuvid=demo; path=/"],
    "anthropic-organization-id": "00000000-0000-4000-8000-00000000demo",
    "openai-organization": "org-demo",
    "openai-processing-ms": "12",
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-tokens": "29999",
    "x-envoy-upstream-service-time": "10",
    "cf-ray": "demo-FRA",
    server: "cloudflare",
    via: "1.1 google",
    "alt-svc": 'h3=":443"',
    "strict-transport-security": "max-age=31536000",
    ...Object.fromEntries(filler),
  };
}
