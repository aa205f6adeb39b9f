// What the demo upstream can be asked to do instead of simply answering.

import type { Usage } from "../providers/provider.js";

/** How one request is answered. Every field is optional; none: a plain, immediate, complete answer. */
export interface Behaviour {
  /** Answers with this status and the vendor's error body. */
  readonly status?: number;
  /** `retry-after` header of such an answer, as given: seconds or a date. */
  readonly retryAfter?: string;
  /** Message of the error; the vendor's usual one when absent. */
  readonly message?: string;
  /** Wait before the answer begins. */
  readonly delayMs?: number;
  /** Exactly this many deltas in the answer. */
  readonly chunks?: number;
  /** Time between two deltas. Default 0. */
  readonly everyMs?: number;
  /** Text of the answer. */
  readonly text?: string;
  /** Length of each delta in bytes, filled with text. */
  readonly deltaBytes?: number;
  /** Resets the connection after this many deltas; on an answer that is no stream, 0 is before its head, else within its body. */
  readonly dieAfter?: number;
  /** Half of the next event is sent before the connection is reset or the answer cut. Default false. */
  readonly halfEvent?: boolean;
  /** Ends properly at HTTP level after this many deltas, without the vendor's end mark. */
  readonly truncateAfter?: number;
  /** Sends nothing more after this many deltas and keeps the connection open. */
  readonly stallAfter?: number;
  /** Sends the vendor's error event after this many deltas. On an answer that is no stream: status 500. */
  readonly errorAfter?: number;
  /** Sends bytes that are no answer: broken JSON in events, or HTML. */
  readonly garbage?: boolean;
  /** Only after this many deltas. */
  readonly garbageAfter?: number;
  /** Answers 307 with this location; `redirectStatus` says another status. */
  readonly redirect?: string;
  readonly redirectStatus?: number;
  /** Reports no usage. */
  readonly noUsage?: boolean;
  /** Reports this usage; what is absent is computed. */
  readonly usage?: Usage;
  /** Adds forty headers that a vendor would send: cookies, organisation ids, rate figures. */
  readonly headers?: boolean;
  /** Answers with gzip of this many MiB of spaces. */
  readonly gzipBombMiB?: number;
  /** Writes the answer in pieces of this many bytes, each on its own. */
  readonly rawChunkBytes?: number;
  /** Ends lines with CR LF, as the event stream format allows. */
  readonly crlf?: boolean;
  /** Writes an SSE comment before each delta. */
  readonly comments?: boolean;
  /** Answers with a tool call when the request has tools. */
  readonly tool?: boolean;
  /** Waits at the gate, as `holdAll` makes all calls do. */
  readonly hold?: boolean;
}

/** Directive, with the words that stand in it → behaviour. `[[status=529 retry-after=7]]` is the directive `status`. */
const directives: Readonly<Record<string, (args: Args) => Behaviour>> = {
  status: (args) => ({ status: args.int("status"), ...args.text("retry-after", "retryAfter") }),
  delay: (args) => ({ delayMs: args.int("delay") }),
  chunks: (args) => ({
    chunks: args.int("chunks"),
    ...args.number("every", "everyMs"),
    ...args.number("bytes", "deltaBytes"),
  }),
  every: (args) => ({ everyMs: args.int("every") }),
  die: (args) => ({ dieAfter: args.int("after"), halfEvent: args.has("half") }),
  truncate: (args) => ({ truncateAfter: args.int("after"), halfEvent: args.has("half") }),
  stall: (args) => ({ stallAfter: args.int("after") }),
  error: (args) => ({ errorAfter: args.int("after") }),
  garbage: (args) => ({ garbage: true, ...args.number("after", "garbageAfter") }),
  redirect: (args) => ({ ...args.text("redirect", "redirect"), ...args.number("status", "redirectStatus") }),
  "no-usage": () => ({ noUsage: true }),
  usage: (args) => ({
    usage: {
      ...args.number("in", "inputTokens"),
      ...args.number("out", "outputTokens"),
      ...args.number("cached", "cachedInputTokens"),
      ...args.number("cache-write", "cacheWriteTokens"),
      ...args.number("reasoning", "reasoningTokens"),
    },
  }),
  headers: () => ({ headers: true }),
  "gzip-bomb": (args) => ({ gzipBombMiB: args.int("gzip-bomb") || 64 }),
  "raw-chunk": (args) => ({ rawChunkBytes: args.int("raw-chunk") || 1 }),
  crlf: () => ({ crlf: true }),
  comments: () => ({ comments: true }),
  tool: () => ({ tool: true }),
  hold: () => ({ hold: true }),
};

/** Model names that stand for a behaviour, so that a demo needs no directives. */
const models: Readonly<Record<string, Behaviour>> = {
  "demo-slow": { delayMs: 400, everyMs: 60 },
  "demo-busy": { status: 429, retryAfter: "7" },
  "demo-overloaded": { status: 529, retryAfter: "7" },
  "demo-broken": { errorAfter: 3, everyMs: 20 },
  "demo-cut": { dieAfter: 3, everyMs: 20 },
  "demo-stall": { stallAfter: 3 },
};

/** What the model's name and the directives in the prompt ask for; later directives win. */
export function askedBehaviour(model: string, prompt: string): Behaviour {
  const named = models[model.slice(model.lastIndexOf("/") + 1)];
  if (!prompt.includes("[[")) return named ?? {};
  let behaviour: Behaviour = named ?? {};
  for (const [, inner = ""] of prompt.matchAll(/\[\[([^[\]]{1,500})\]\]/g)) {
    const args = readArgs(inner);
    const directive = directives[args.first];
    if (directive) behaviour = { ...behaviour, ...directive(args) };
    else if (args.first === "say") behaviour = { ...behaviour, text: inner.trim().slice("say".length).trim() };
  }
  return behaviour;
}

interface Args {
  readonly first: string;
  has(name: string): boolean;
  /** The number given for `name`, 0 when there is none. */
  int(name: string): number;
  number<K extends string>(name: string, field: K): { [P in K]?: number };
  text<K extends string>(name: string, field: K): { [P in K]?: string };
}

function readArgs(inner: string): Args {
  const words = inner.trim().split(/\s+/);
  const values = new Map(
    words.map((word): [string, string] => {
      const equals = word.indexOf("=");
      return equals < 0 ? [word, ""] : [word.slice(0, equals), word.slice(equals + 1)];
    }),
  );
  const number = (name: string): number | undefined => {
    const value = values.get(name);
    return value === undefined || value === "" || Number.isNaN(Number(value)) ? undefined : Number(value);
  };
  return {
    first: [...values.keys()][0] ?? "",
    has: (name) => values.has(name),
    int: (name) => number(name) ?? 0,
    number<K extends string>(name: string, field: K): { [P in K]?: number } {
      const value = number(name);
      return value === undefined ? {} : ({ [field]: value } as { [P in K]?: number });
    },
    text<K extends string>(name: string, field: K): { [P in K]?: string } {
      const value = values.get(name);
      return value ? ({ [field]: value } as { [P in K]?: string }) : {};
    },
  };
}
