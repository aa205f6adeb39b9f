// What the text of a setting may be. Each schema says in words what it expects, and nothing of what it got: that may be
// a secret in the wrong place.

import * as z from "zod";
import type { AdminToken } from "../auth/admin.js";
import { parseDuration } from "../lib/duration.js";
import type { StoreFailure } from "./types.js";

/** The longest time a timer can wait: 2^31 - 1 ms. */
const maxTimerMs = 2_147_483_647;

/** Text that `parse` understands. What it leaves undefined is reported as `expected …`. */
export function parsed<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string(`expected ${expected}`).transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: `expected ${expected}` });
    return z.NEVER;
  });
}

export const text = z.string();

export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER) {
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `from ${min} to ${max}`;
  return parsed(`a whole number ${range}`, (digits) => {
    const value = /^\d{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  });
}

/** What Go's strconv.ParseBool takes, in any case. */
export const boolean = parsed("true or false", (word) => {
  if (/^(1|t|true)$/i.test(word)) return true;
  return /^(0|f|false)$/i.test(word) ? false : undefined;
});

/** Any time, 0 included. */
export const duration = parsed("a duration such as 250ms, 30s, 10m, 24h or 30d", parseDuration);

/** A time that something waits for. */
export const timeout = parsed("a duration of 1ms to 24d, such as 250ms, 30s or 10m", (words) => {
  const ms = parseDuration(words);
  return ms !== undefined && ms >= 1 && ms <= maxTimerMs ? ms : undefined;
});

/** As `timeout`, or not at all. */
export const delay = parsed("a duration of 0s to 24d, such as 250ms, 30s or 10m", (words) => {
  const ms = parseDuration(words);
  return ms !== undefined && ms <= maxTimerMs ? ms : undefined;
});

export const redisTimeout = parsed("a duration of 10ms to 10s, such as 100ms", (words) => {
  const ms = parseDuration(words);
  return ms !== undefined && ms >= 10 && ms <= 10_000 ? Math.round(ms) : undefined;
});

/** How long something is kept. */
export const retention = parsed("a duration of 1m to 90d, such as 1h or 7d", (words) => {
  const ms = parseDuration(words);
  return ms !== undefined && ms >= 60_000 && ms <= 90 * 86_400_000 ? Math.round(ms) : undefined;
});

/** How long a hold lives without being renewed. */
export const lease = parsed("a duration of 1s to 10m, such as 30s", (words) => {
  const ms = parseDuration(words);
  return ms !== undefined && ms >= 1_000 && ms <= 600_000 ? Math.round(ms) : undefined;
});

/** Length of a quota's window. */
export const window = parsed("a duration of 1s to 3650d, such as 10m, 24h or 30d", (words) => {
  const ms = parseDuration(words);
  return ms !== undefined && ms >= 1_000 && ms <= 3_650 * 86_400_000 ? Math.round(ms) : undefined;
});

/** `50` or `50%`, above 0. */
export const percentage = parsed("a percentage above 0 and up to 100, such as 50", (words) => {
  const value = /^\d{1,3}(\.\d+)?%?$/.test(words) ? Number(words.replace("%", "")) : Number.NaN;
  return value > 0 && value <= 100 ? value : undefined;
});

/** The same, also as a number of the file. */
export const share = z.preprocess((value) => (typeof value === "number" ? String(value) : value), percentage);

/** Comma separated, at least one. */
export const list = parsed("a comma-separated list with at least one entry", (words) => {
  const entries = split(words);
  return entries.length > 0 ? entries : undefined;
});

/** Gateway names of models, or patterns of them. */
export const gatewayModels = parsed("models with their provider, such as openai/text-embedding-3-small", (words) => {
  const entries = split(words);
  return entries.length > 0 && entries.every((entry) => entry === "*" || entry.includes("/")) ? entries : undefined;
});

/** The base URL of an upstream, without a slash at its end. */
export const baseUrl = parsed("an http:// or https:// URL without user, query or fragment", (words) => {
  const url = URL.canParse(words) ? new URL(words) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) return undefined;
  return /[?#\s]/.test(words) ? undefined : words.replace(/\/+$/, "");
});

/** A key or password that goes into a header: anything else would fail at the first request. */
export const headerSecret = parsed("printable ASCII without spaces", (words) =>
  /^[\x21-\x7e]+$/.test(words) ? words : undefined,
);

export const pepper = parsed("16 characters or more", (words) => (words.length >= 16 ? words : undefined));

export const origins = parsed("origins such as https://app.example.com, comma separated, or *", (words) => {
  const entries = split(words);
  const right = entries.every(
    (each) => each === "*" || (/^https?:/.test(each) && URL.canParse(each) && new URL(each).origin === each),
  );
  return right && entries.length > 0 ? entries : undefined;
});

export const redisEndpoint = parsed(
  "host:port, redis://…, rediss://…, redis+sentinel://host,host/name or redis+cluster://host,host",
  (words) => {
    const forms = [
      /^([^\s/@:]+|\[[0-9a-f:]+\]):\d{1,5}$/i,
      /^rediss?:\/\/[^\s/]+(\/\d*)?$/,
      /^redis\+sentinel:\/\/[^\s/]+\/[^\s/]+$/,
      /^redis\+cluster:\/\/[^\s/]+\/?$/,
    ];
    return forms.some((form) => form.test(words)) ? words : undefined;
  },
);

/** `name:role:sha256hex`, comma separated, as `cody-gateway token admin` prints it. */
export const adminTokens = parsed(
  "name:role:sha256hex, comma separated, each name once; role viewer or operator: cody-gateway token admin makes one",
  (words): readonly AdminToken[] | undefined => {
    const entries = split(words);
    const tokens = entries.flatMap((entry): AdminToken[] => {
      const [, name, role, sha256] = /^([\w.@-]{1,64}):(viewer|operator):([0-9a-f]{64})$/i.exec(entry) ?? [];
      if (name === undefined || role === undefined || sha256 === undefined) return [];
      return [{ name, role: role.toLowerCase() === "operator" ? "operator" : "viewer", sha256: sha256.toLowerCase() }];
    });
    const names = new Set(tokens.map(({ name }) => name));
    return tokens.length > 0 && names.size === entries.length ? tokens : undefined;
  },
);

/** A key under which something is encrypted, and the name that what it encrypted bears. */
export interface SealingKey {
  readonly name: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** `name:64 hex digits`, comma separated. */
export const sealingKeys = parsed(
  "name:key, comma separated, each name once; a key is 64 hex digits: openssl rand -hex 32 makes one",
  (words): readonly SealingKey[] | undefined => {
    const entries = split(words);
    const keys = entries.flatMap((entry): SealingKey[] => {
      const [, name, hex] = /^([\w-]{1,32}):([0-9a-f]{64})$/i.exec(entry) ?? [];
      return name === undefined || hex === undefined ? [] : [{ name, key: Buffer.from(hex, "hex") }];
    });
    return keys.length > 0 && new Set(keys.map(({ name }) => name)).size === entries.length ? keys : undefined;
  },
);

export const storeFailure = parsed("deny, or allow:<n> with n from 1", (words): StoreFailure | undefined => {
  if (words === "deny") return "deny";
  const allow = Number(/^allow:(\d{1,15})$/.exec(words)?.[1]);
  return allow >= 1 ? { allow } : undefined;
});

export const logLevel = parsed("one of debug, info, warn, error, silent", (words) => {
  const spellings = {
    debug: /^(debug|dbug)$/,
    info: /^info$/,
    warn: /^warn$/,
    error: /^(error|eror)$/,
    silent: /^(silent|none)$/,
  };
  const entries = Object.entries(spellings) as [keyof typeof spellings, RegExp][];
  return entries.find(([, spelling]) => spelling.test(words.toLowerCase()))?.[0];
});

export const portalProtocol = parsed("grpc or connect", (word) =>
  (["grpc", "connect"] as const).find((protocol) => protocol === word),
);

export const logFormat = parsed("json or pretty", (words) => {
  if (/^json(_gcp)?$/.test(words)) return "json" as const;
  return /^(pretty|condensed)$/.test(words) ? ("pretty" as const) : undefined;
});

export const tracePolicy = parsed("all, selective or none", (word) =>
  (["all", "selective", "none"] as const).find((policy) => policy === word),
);

export const whenFull = parsed("drop or deny", (word) => (word === "drop" || word === "deny" ? word : undefined));

/** What stands between commas, without the white space around it. */
export function split(words: string): string[] {
  return words
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}
