// What a setting is.

import type * as z from "zod";

/** One environment variable. */
export interface Setting<T = unknown> {
  readonly name: string;
  /** From the variable's text to the value; its default is a text too. */
  readonly schema: z.ZodType<T, string | undefined>;
  /** What it is for. */
  readonly sentence: string;
  /** Never shown; `NAME_FILE` names a file to read it from. */
  readonly secret: boolean;
  /** Shows what is not secret of it, with `mask` in place of the rest; without it nothing is shown of a secret. */
  readonly masked?: (text: string, mask: string) => string;
  /** Variables that are read when it is unset. */
  readonly fallbacks: readonly string[];
}

type Rest = Partial<Pick<Setting, "fallbacks" | "masked">>;

/** A setting that may be shown. */
export function setting<T>(name: string, schema: Setting<T>["schema"], sentence: string, rest: Rest = {}): Setting<T> {
  return { name, schema, sentence, secret: false, fallbacks: [], ...rest };
}

/** A setting that is a secret. */
export function secret<T>(name: string, schema: Setting<T>["schema"], sentence: string, rest: Rest = {}): Setting<T> {
  return { ...setting(name, schema, sentence, rest), secret: true };
}
