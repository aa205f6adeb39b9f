// Reading JSON that others sent, and that may be anything.

/** The members of what may be an object. */
export type Fields = Readonly<Record<string, unknown>>;

/** The members of an object; of anything else none. */
export function fieldsOf(json: unknown): Fields {
  return typeof json === "object" && json !== null ? (json as Fields) : {};
}
