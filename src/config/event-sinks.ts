// Where usage events go, as one variable says it.

import { z } from "zod";
import { parsed, split } from "./schemas.js";
import type { EventSinkConfig } from "./types.js";

const forms = "stdout, file:<path>, http(s)://…, postgres://… or none";

/** Comma separated, each once. */
export const eventSinks = z.string().transform((words, context): readonly EventSinkConfig[] => {
  const entries = split(words);
  const refuse = (message: string): void => context.addIssue({ code: "custom", message });
  if (entries.length === 0) refuse(`expected ${forms}`);
  if (entries.includes("none") && entries.length > 1) refuse("expected none to stand alone");
  if (new Set(entries).size < entries.length) refuse("expected each sink once");
  return entries.flatMap((entry) => {
    const read = entry === "none" ? [] : readSink(entry);
    if (read === undefined)
      refuse(entry.startsWith("bigquery") ? "the sink bigquery is not available yet" : `expected ${forms}`);
    return read ?? [];
  });
});

function readSink(entry: string): readonly [EventSinkConfig] | undefined {
  if (entry === "stdout") return [{ kind: "stdout" }];
  if (/^file:./.test(entry)) return [{ kind: "file", path: entry.slice("file:".length) }];
  if (!URL.canParse(entry) || /\s/.test(entry)) return undefined;
  const { protocol, hash } = new URL(entry);
  if (/^https?:$/.test(protocol) && hash === "") return [{ kind: "http", url: entry }];
  return /^postgres(ql)?:$/.test(protocol) ? [{ kind: "postgres", url: entry }] : undefined;
}

/** The variable's text with passwords, users and what stands in queries masked. */
export function maskSinks(words: string, mask: string): string {
  return words.replaceAll(/:\/\/[^/@,\s]*@/g, `://${mask}@`).replaceAll(/\?[^,\s]*/g, `?${mask}`);
}

/** One `name: value` a line. */
export const headers = parsed("headers, each as `name: value` on a line of its own", (words) => {
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
