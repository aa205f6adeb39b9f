// Shell-style patterns: `*` is any run of characters, none included, `?` is any one, everything else is itself.
// Upper and lower case are the same.

/** Whether `pattern` matches the whole of `name`. Takes time in proportion to the name, whatever is in it. */
export function matchesGlob(pattern: string, name: string): boolean {
  return compileGlob(pattern)(name.toLowerCase());
}

/** Whether any of `patterns` matches a name. Looks at the patterns once, for many names. */
export function compileGlobs(patterns: readonly string[]): (name: string) => boolean {
  if (patterns.includes("*")) return () => true;
  const matchers = patterns.map(compileGlob);
  return (name) => {
    const lower = name.toLowerCase();
    return matchers.some((matches) => matches(lower));
  };
}

/** A matcher for names in lower case. */
function compileGlob(pattern: string): (lower: string) => boolean {
  const lowerPattern = pattern.toLowerCase();
  if (!/[*?]/.test(lowerPattern)) return (name) => name === lowerPattern;
  const parts = lowerPattern.split(/\*+/);
  return (name) => matchesParts(parts, name);
}

/** Whether `name` consists of `parts` in order, with anything between two of them. */
function matchesParts(parts: readonly string[], name: string): boolean {
  const head = parts[0] as string;
  if (parts.length === 1) return name.length === head.length && matchesAt(head, name, 0);
  const tail = parts.at(-1) as string;
  const end = name.length - tail.length;
  if (end < head.length || !matchesAt(head, name, 0) || !matchesAt(tail, name, end)) return false;

  // The leftmost place of a part leaves most room for those after it, so no choice is ever taken back.
  let at = head.length;
  for (const part of parts.slice(1, -1)) {
    while (at + part.length <= end && !matchesAt(part, name, at)) at++;
    at += part.length;
    if (at > end) return false;
  }
  return true;
}

function matchesAt(part: string, name: string, at: number): boolean {
  for (let i = 0; i < part.length; i++) if (part[i] !== "?" && part[i] !== name[at + i]) return false;
  return true;
}
