import { widthOf } from "./width.js";

/** A cell: numbers stand to the right. */
export type Cell = string | number | bigint | undefined;

/** Rows under a header, in columns as wide as they need to be; nothing for no rows but `empty`. */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[], empty = "none"): string {
  if (rows.length === 0) return empty;
  const texts = [header, ...rows.map((row) => row.map(textOf))];
  const isNumber = header.map((_, column) => rows.every((row) => typeof row[column] !== "string"));
  const widths = header.map((_, column) => Math.max(...texts.map((row) => widthOf(row[column] ?? ""))));
  return texts
    .map((row) =>
      row
        .map((text, column) => pad(text, widths[column] ?? 0, isNumber[column] === true))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function textOf(cell: Cell): string {
  if (cell === undefined) return "";
  return typeof cell === "string" ? printable(cell) : cell.toLocaleString("en-US");
}

function pad(text: string, width: number, toTheRight: boolean): string {
  const space = " ".repeat(Math.max(0, width - widthOf(text)));
  return toTheRight ? space + text : text + space;
}

/** What others named must not move the cursor, or look like something else. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
}
