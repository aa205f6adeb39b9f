// The section `providers` of the configuration file.

import * as z from "zod";
import type { UpstreamKey } from "../upstream/keys.js";
import { defined, patterns, secret, weight } from "./file-fields.js";
import * as as from "./schemas.js";
import type { SecretReader } from "./secrets.js";
import { vendors } from "./settings.js";
import { strict } from "./strict.js";
import type { UpstreamConfig } from "./types.js";

const word = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const name = z.string().regex(word, "expected lower-case letters, digits, dot, dash or underscore, 63 at most");

/** Headers that are the gateway's own to set, or that belong to a connection. */
const ownHeaders =
  /^(authorization|proxy-.*|x-api-key|x-goog-api-key|api-key|cookie|host|content-length|content-type|content-encoding|accept-encoding|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect)$/;

const headers = z.record(
  z
    .string()
    .regex(/^[a-zA-Z0-9-]{1,100}$/, "expected the name of a header")
    .refine(
      (header) => !ownHeaders.test(header.toLowerCase()),
      "expected another header: this one is the gateway's own",
    ),
  z.string("expected a text").regex(/^[\x20-\x7e]*$/, "expected printable ASCII"),
);

const timeouts = strict({
  connect: as.timeout.optional(),
  firstByte: as.timeout.optional(),
  idle: as.timeout.optional(),
  total: as.timeout.optional(),
}).transform(({ connect, firstByte, idle, total }) =>
  defined({ connectMs: connect, firstByteMs: firstByte, idleMs: idle, totalMs: total }),
);

const perCall = z.number("expected a whole number from 1 to 1000000").int().min(1).max(1_000_000);

const embeddings = strict({
  models: patterns.optional(),
  inputsPerCall: perCall.optional(),
  tokensPerCall: perCall.optional(),
});

/** One provider. `kinds`: those that there are; undefined: any. */
export function provider(read: SecretReader, kinds: readonly string[] | undefined) {
  return strict({
    name,
    kind: kinds ? z.enum(kinds) : name,
    baseUrl: as.baseUrl.optional(),
    keys: z.array(upstreamKey(read)).default([]),
    models: patterns.optional(),
    embeddings: embeddings.default({}),
    headers: headers.default({}),
    timeouts: timeouts.default({}),
  }).transform(({ keys, baseUrl, models, embeddings: own, ...rest }): UpstreamConfig => {
    const vendor = Object.hasOwn(vendors, rest.kind) ? vendors[rest.kind as keyof typeof vendors] : undefined;
    return {
      ...rest,
      baseUrl: baseUrl ?? vendor?.baseUrl.schema.parse(undefined) ?? "",
      keys,
      models,
      // Its list is of all that it serves, where it has none for embeddings.
      embeddings: {
        models: own.models ?? models,
        inputsPerCall: own.inputsPerCall,
        tokensPerCall: own.tokensPerCall,
      },
    };
  });
}

/** The reference is no secret: operators know the key by it. */
function upstreamKey(read: SecretReader) {
  return strict({ ref: z.string("expected a reference, env:NAME or file:/path"), weight }).transform(
    ({ ref, weight: share }, context): UpstreamKey => {
      const found = secret(read).pipe(as.headerSecret).safeParse(ref);
      if (found.success) return { name: ref, value: found.data, weight: share };
      for (const { message } of found.error.issues) context.addIssue({ code: "custom", path: ["ref"], message });
      return z.NEVER;
    },
  );
}
