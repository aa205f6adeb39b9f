import * as z from "zod";

/** An object of exactly these keys. */
export function strict<T extends z.core.$ZodLooseShape>(shape: T) {
  const known = Object.keys(shape).join(", ");
  return z.strictObject(shape, {
    error: (issue) => (issue.code === "unrecognized_keys" ? `unknown key, expected one of ${known}` : undefined),
  });
}
