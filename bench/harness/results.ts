// Results: rows of figures, ratios against goals, and how they are printed.

import type { Spread } from "./stats.js";

/** A figure's column. */
export interface Column {
  readonly figure: string;
  readonly title: string;
  /** Turns the figure into what is shown. */
  readonly show: (value: number) => string;
}

/** A goal: what was reached and what was to be reached. */
export interface Goal {
  readonly text: string;
  readonly value: number;
  readonly limit: number;
  /** The value may be at most, or must be at least, the limit. */
  readonly kind: "at most" | "at least";
}

/** What one scenario found. */
export interface Result {
  readonly id: string;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly { readonly name: string; readonly figures: Readonly<Record<string, Spread>> }[];
  readonly goals: readonly Goal[];
  readonly notes: readonly string[];
}

const fixed =
  (digits: number) =>
  (value: number): string =>
    Number.isNaN(value)
      ? "–"
      : value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });

/** Columns that several scenarios have. Times come in microseconds. */
export const columns = {
  rps: { figure: "rps", title: "requests/s", show: fixed(0) },
  cpuUs: { figure: "cpuUs", title: "CPU µs/request", show: fixed(1) },
  p50: { figure: "p50", title: "p50 ms", show: (us) => fixed(2)(us / 1000) },
  p99: { figure: "p99", title: "p99 ms", show: (us) => fixed(2)(us / 1000) },
  p999: { figure: "p999", title: "p99.9 ms", show: (us) => fixed(2)(us / 1000) },
  rss: { figure: "rss", title: "peak RSS MB", show: (bytes) => fixed(0)(bytes / 1e6) },
  busy: { figure: "busy", title: "its core %", show: (share) => fixed(0)(share * 100) },
  loadBusy: { figure: "loadBusy", title: "load's core %", show: (share) => fixed(0)(share * 100) },
  errors: { figure: "errors", title: "errors", show: fixed(0) },
} satisfies Record<string, Column>;

/** A column with another title. */
export function titled(column: Column, title: string): Column {
  return { ...column, title };
}

/** Whether the goal is reached. Not measured is not reached. */
export function reached({ kind, value, limit }: Goal): boolean {
  return kind === "at most" ? value <= limit : value >= limit;
}

/** The median of a row's figure; NaN when there is no such row. */
export function medianOf(rows: Result["rows"], name: string, figure: string): number {
  return rows.find((row) => row.name === name)?.figures[figure]?.median ?? Number.NaN;
}

function cells({ columns: shown, rows }: Result): string[][] {
  const head = ["", ...shown.map(({ title }) => title)];
  const body = rows.map(({ name, figures }) => [
    name,
    ...shown.map(({ figure, show }) => {
      const found = figures[figure];
      if (!found) return "–";
      const [median, min, max] = [found.median, found.min, found.max].map(show);
      return min === max ? `${median}` : `${median} (${min}–${max})`;
    }),
  ]);
  return [head, ...body];
}

function goalText(goal: Goal): string {
  const value = Number.isNaN(goal.value) ? "not measured" : goal.value.toFixed(2);
  return `${goal.text}: ${value} (${goal.kind} ${goal.limit})`;
}

/** As an aligned table for a terminal. */
export function asText(result: Result): string {
  const table = cells(result);
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  "),
  );
  const goals = result.goals.map((goal) => `  ${reached(goal) ? "ok  " : "MISS"} ${goalText(goal)}`);
  return [`${result.id} ${result.title}`, ...lines, ...goals, ...result.notes.map((note) => `  ${note}`), ""].join(
    "\n",
  );
}

function markdownRow(row: readonly string[]): string {
  return `| ${row.join(" | ")} |`;
}

/** As Markdown, for `docs/performance.md`. */
export function asMarkdown(result: Result): string {
  const [head = [], ...body] = cells(result);
  const rule = markdownRow(head.map((_, column) => (column === 0 ? "---" : "---:")));
  const goals = result.goals.map((goal) => `- ${reached(goal) ? "reached" : "**missed**"}: ${goalText(goal)}`);
  const notes = result.notes.map((note) => `- ${note}`);
  return [
    `### ${result.id}: ${result.title}`,
    "",
    markdownRow(head),
    rule,
    ...body.map(markdownRow),
    "",
    ...goals,
    ...notes,
    "",
  ].join("\n");
}

/** As plain data: what is NaN is left out. */
export function asJson(results: readonly Result[], about: object): string {
  const plain = results.map(({ id, title, rows, goals, notes }) => ({
    id,
    title,
    rows,
    goals: goals.map((goal) => ({ ...goal, reached: reached(goal) })),
    notes,
  }));
  return JSON.stringify({ ...about, results: plain }, null, 2);
}
