// How a call's span reaches its handler.

import { type ContextValues, createContextKey } from "@connectrpc/connect";
import type { Span } from "../lib/span.js";

const spanKey = createContextKey<Span | undefined>(undefined, { description: "the call's span" });

/** Puts it among the values of its call, which is traced. */
export function setSpan(values: ContextValues, span: Span): void {
  values.set(spanKey, span);
}

/** Undefined: nobody traces the call. */
export function callSpan(values: ContextValues): Span | undefined {
  return values.get(spanKey);
}
