// As much of https://prometheus.io/docs/prometheus/latest/querying/basics/ as it takes to see what an expression asks for.

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly value: string }[];
}

const words = new Set(["and", "or", "unless", "by", "on", "without", "ignoring", "offset", "bool"]);
const groupings = /\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;

/** The metrics of an expression: every name that is neither a function nor a word of the language. */
export function selectorsOf(expr: string): Selector[] {
  const bare = expr.replaceAll(groupings, " ").replaceAll(/\[[^\]]*\]/g, "");
  return [...bare.matchAll(/(?<![\w$"])([a-zA-Z_:][\w:]*)\s*(\{(?:[^"}]|"[^"]*")*\}|\()?/g)]
    .filter(([, name = "", next]) => next !== "(" && !words.has(name))
    .map(([, metric = "", braces = ""]) => ({
      metric,
      matchers: [...braces.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g)].map(([, label = "", value = ""]) => ({
        label,
        value,
      })),
    }));
}

/** The labels by which an expression groups and joins. */
export function labelsIn(expr: string): string[] {
  return [...expr.matchAll(groupings)].flatMap(([, labels = ""]) => labels.split(",").map((label) => label.trim()));
}
