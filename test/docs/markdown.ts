// Reading the documents that the tests hold against the code.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

/** A file of the repository, by its path from the top. */
export function readText(path: string): string {
  return readFileSync(resolve(root, path), "utf8");
}

/** A fenced block. */
export interface Block {
  /** `sh`, `ts`, `yaml`; empty where none is named. */
  readonly language: string;
  readonly text: string;
}

export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = "", text = ""]) => ({
    language,
    text,
  }));
}

/** The rows of the first table below a line of text, without its head; cells without their back ticks. */
export function tableBelow(markdown: string, line: string): string[][] {
  const at = markdown.split("\n").indexOf(line);
  if (at < 0) throw new Error(`no line ${line}`);
  const lines = markdown.split("\n").slice(at + 1);
  const first = lines.findIndex((line) => line.startsWith("|"));
  const length = lines.slice(first).findIndex((line) => !line.startsWith("|"));
  return lines.slice(first + 2, length < 0 ? undefined : first + length).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll("`", "")),
  );
}
