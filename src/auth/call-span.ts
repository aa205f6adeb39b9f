// How a call's span reaches its handler.

import { type ContextValues, createContextKey, createContextValues } from "@connectrpc/connect";
import type { Span } from "../lib/span.js";

const spanKey = createContextKey<Span | undefined>(undefined, { description: "the call's span" });

/** What a call that is traced begins with. */
export function tracedBy(span: Span): ContextValues {
  return createContextValues().set(spanKey, span);
}

/** Undefined: nobody traces the call. */
export function callSpan(values: ContextValues): Span | undefined {
  return values.get(spanKey);
}
