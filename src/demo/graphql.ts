// As much of GraphQL as the demo's Sourcegraph.com needs: which operation a document is, and what of the data it asks for.

/** A GraphQL document that the demo cannot read. */
export class GraphqlSyntaxError extends Error {
  override readonly name = "GraphqlSyntaxError";
}

/** Fields asked for, each with the fields asked for of it; undefined: it has none. */
export type Selection = ReadonlyMap<string, Selection | undefined>;

/** The name of the operation and what it selects. Fragments, aliases and directives are not read. */
export function readOperation(document: string): { readonly name: string; readonly selection: Selection } {
  const tokens = document.match(/[A-Za-z_]\w*|[{}()]|[^\s{}()A-Za-z_]+/g) ?? [];
  let at = 0;

  const expect = (wanted: string): void => {
    if (tokens[at++] !== wanted) throw new GraphqlSyntaxError(`expected ${wanted} before token ${at}`);
  };

  function skipArguments(): void {
    if (tokens[at] !== "(") return;
    while (at < tokens.length && tokens[at] !== ")") at++;
    expect(")");
  }

  function readSelection(): Selection {
    const fields = new Map<string, Selection | undefined>();
    expect("{");
    while (tokens[at] !== "}") {
      const name = tokens[at++];
      if (name === undefined || !/^\w+$/.test(name)) throw new GraphqlSyntaxError(`expected a field at token ${at}`);
      skipArguments();
      fields.set(name, tokens[at] === "{" ? readSelection() : undefined);
    }
    expect("}");
    return fields;
  }

  expect("query");
  const name = tokens[at++] ?? "";
  skipArguments();
  const selection = readSelection();
  if (at !== tokens.length) throw new GraphqlSyntaxError("expected one operation");
  return { name, selection };
}

/** What of `data` was asked for. Throws when a field does not exist, as a schema would. */
export function select(data: unknown, selection: Selection, path = "query"): unknown {
  if (data === null || data === undefined) return null;
  if (Array.isArray(data)) return data.map((each) => select(each, selection, path));
  const object = data as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    [...selection].map(([field, inner]) => {
      if (!Object.hasOwn(object, field)) throw new GraphqlSyntaxError(`Cannot query field ${field} of ${path}`);
      const value = object[field];
      return [field, inner ? select(value, inner, `${path}.${field}`) : (value ?? null)];
    }),
  );
}
