// Calls from pages of other origins: https://fetch.spec.whatwg.org/#http-cors-protocol
// Tokens are in headers, which a page has to know and to send itself: no browser adds them, hence nothing here allows credentials.

import type { ServerResponse } from "node:http";
import { cors as connect } from "@connectrpc/connect";
import type { HttpRequest, HttpResponse } from "../http/http.js";

/** Which pages may call, and what they may read. */
export interface Cors {
  /**
   * Adds to an answer what its caller's browser has to know, if anything. True: the request asks whether another may be made, and
   * the head of its answer, without a body, is all there is to say.
   */
  apply(req: HttpRequest, res: HttpResponse, path: string): boolean;
}

export interface CorsOptions {
  /** `https://app.example.com`; `*` is any. */
  readonly origins: readonly string[];
  /** Whether pages may call what is at this path. */
  readonly covers: (path: string) => boolean;
}

/** What of an answer pages may read, beside its body. */
const exposed = [
  ...connect.exposedHeaders.map((name) => name.toLowerCase()),
  "x-request-id",
  "x-trace",
  "x-trace-span",
  "retry-after",
  "x-should-retry",
  "ratelimit",
  "ratelimit-policy",
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "x-cody-resolved-model",
  "x-token-usage",
  "request-id",
].join(", ");
const methods = connect.allowedMethods.join(", ");
/** How long browsers remember what they were told; Chromium does for two hours at most. */
const maxAgeSeconds = "7200";
/** Names of headers, separated by commas. */
const names = /^[\w!#$%&'*+.^`|~-]+(?:[ \t]*,[ \t]*[\w!#$%&'*+.^`|~-]+)*$/;

/** Headers that answers keep whatever becomes of them. */
export const corsHeaders: readonly string[] = ["access-control-allow-origin", "access-control-expose-headers", "vary"];

export function createCors({ origins, covers }: CorsOptions): Cors {
  const any = origins.includes("*");
  const known = new Set(origins);
  return {
    apply(req, response, path) {
      if (!covers(path)) return false;
      const res = response as ServerResponse;
      const { origin } = req.headers;
      // Also without an origin, or to another one: whoever keeps answers must not give this one to everybody.
      if (!any) res.setHeader("vary", "Origin");
      if (origin === undefined || !(any || known.has(origin))) return false;
      res.setHeader("access-control-allow-origin", any ? "*" : origin);
      if (req.method !== "OPTIONS" || req.headers["access-control-request-method"] === undefined) {
        res.setHeader("access-control-expose-headers", exposed);
        return false;
      }
      res.setHeader("access-control-allow-methods", methods);
      // SDKs have headers of their own, with each version more. Who is trusted with a token is trusted with them.
      const asked = req.headers["access-control-request-headers"];
      if (asked !== undefined && names.test(asked)) res.setHeader("access-control-allow-headers", asked);
      res.setHeader("access-control-max-age", maxAgeSeconds);
      res.setHeader("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
      return true;
    },
  };
}
