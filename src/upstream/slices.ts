// Cutting inputs into calls that an upstream takes.

import { estimateTokens } from "../models/tokens.js";
import type { CallLimits } from "../providers/embeddings.js";

/** From `start` up to, not including, `end`. */
export interface Slice {
  readonly start: number;
  readonly end: number;
}

/** Cuts `inputs`, JSON texts, into as few slices as the limits allow, in their order. An input that is too large by itself is one. */
export function sliceInputs(inputs: readonly string[], limits: CallLimits): readonly Slice[] {
  const { tokens: most = Number.POSITIVE_INFINITY } = limits;
  const slices: Slice[] = [];
  let start = 0;
  let tokens = 0;
  inputs.forEach((input, at) => {
    const more = most === Number.POSITIVE_INFINITY ? 0 : mostTokens(input);
    if (at > start && (at - start >= limits.inputs || tokens + more > most)) {
      slices.push({ start, end: at });
      start = at;
      tokens = 0;
    }
    tokens += more;
  });
  slices.push({ start, end: inputs.length });
  return slices;
}

/** As many tokens as an input has at most, or nearly: each is a byte or more, and estimates are off by less than double. */
function mostTokens(input: string): number {
  if (input.startsWith("[")) return input.split(",").length;
  return Math.min(Buffer.byteLength(input), 2 * estimateTokens(input));
}
