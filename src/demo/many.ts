/** One thing, or a list of them. */
export type OneOrMany<T extends object> = T | readonly T[];

/** Always as a list. */
export function many<T extends object>(given: OneOrMany<T>): readonly T[] {
  return Array.isArray(given) ? (given as readonly T[]) : [given as T];
}
