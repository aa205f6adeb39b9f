// Where usage events go, and how many may wait for that.

import * as z from "zod";
import * as as from "./schemas.js";
import { parsed, split } from "./schemas.js";
import { secret, setting } from "./setting.js";
import type { EventSinkConfig } from "./types.js";

const forms = "stdout, file:<path>, http(s)://…, postgres://…, bigquery or none";

/** Comma separated, each once. */
const eventSinks = z.string().transform((words, context): readonly EventSinkConfig[] => {
  const entries = split(words);
  const refuse = (message: string): void => context.addIssue({ code: "custom", message });
  if (entries.length === 0) refuse(`expected ${forms}`);
  if (entries.includes("none") && entries.length > 1) refuse("expected none to stand alone");
  if (new Set(entries).size < entries.length) refuse("expected each sink once");
  return entries.flatMap((entry) => {
    const read = entry === "none" ? [] : readSink(entry);
    if (read === undefined) refuse(`expected ${forms}`);
    return read ?? [];
  });
});

function readSink(entry: string): readonly [EventSinkConfig] | undefined {
  if (entry === "stdout" || entry === "bigquery") return [{ kind: entry }];
  if (/^file:./.test(entry)) return [{ kind: "file", path: entry.slice("file:".length) }];
  if (!URL.canParse(entry) || /\s/.test(entry)) return undefined;
  const { protocol, hash } = new URL(entry);
  if (/^https?:$/.test(protocol) && hash === "") return [{ kind: "http", url: entry }];
  return /^postgres(ql)?:$/.test(protocol) ? [{ kind: "postgres", url: entry }] : undefined;
}

/** The variable's text with passwords, users and what stands in queries masked. */
function maskSinks(words: string, mask: string): string {
  return words.replaceAll(/:\/\/[^/@,\s]*@/g, `://${mask}@`).replaceAll(/\?[^,\s]*/g, `?${mask}`);
}

/** One `name: value` a line. */
const headers = parsed("headers, each as `name: value` on a line of its own", (words) => {
  const found: Record<string, string> = {};
  for (const line of words.split(/\r?\n/)) {
    const [, name, value] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*:\s*([\x20-\x7e]+?)\s*$/.exec(line) ?? [];
    if (name === undefined || value === undefined || ours.has(name.toLowerCase())) return undefined;
    found[name.toLowerCase()] = value;
  }
  return found;
});

/** What the gateway says itself. */
const ours = new Set(["content-type", "content-length", "transfer-encoding", "host", "connection"]);

/** The settings. */
export const events = {
  eventSinks: secret(
    "CODY_GATEWAY_EVENTS_SINKS",
    eventSinks.optional(),
    "Where usage events go, comma separated: `stdout` and `file:<path>` (JSON lines), `http://…` or `https://…` (CloudEvents in batches), `postgres://…` (one table), `bigquery` (one table there); or `none`. Unset: `bigquery` where its project is set, else `stdout`.",
    { masked: maskSinks },
  ),
  eventsHttpHeaders: secret(
    "CODY_GATEWAY_EVENTS_HTTP_HEADERS",
    headers.optional(),
    "Headers for the HTTP sinks, one `name: value` a line: `authorization: Bearer …`.",
  ),
  eventsMaxWaiting: setting(
    "CODY_GATEWAY_EVENTS_MAX_WAITING",
    as.integer(1_000, 1e9).optional(),
    "Most events that may wait for sinks. Unset: 1,000,000 in Redis or the data directory, 100,000 in memory.",
  ),
  eventsWhenFull: setting(
    "CODY_GATEWAY_EVENTS_WHEN_FULL",
    as.whenFull.prefault("drop"),
    "When so many wait: `drop` = the oldest are lost to sinks that are behind, counted and logged; `deny` = requests are refused with 503 until there is room.",
  ),
};
