// Model names as callers write them.

import { InvalidRequestError } from "../errors.js";

/** Longest model name accepted, in characters. */
export const maxModelNameLength = 256;

// Control and format characters, lone surrogates, unassigned: nothing a model is called, much that logs and lists suffer from.
const unprintable = /\p{C}/u;

/** Throws `InvalidRequestError` for what can be no model's name. */
export function checkModelName(model: string): void {
  const problem = problemWith(model);
  if (problem !== undefined) throw new InvalidRequestError(`model must not ${problem}`, "model");
}

/** Whether a text can be a model's name. */
export function isModelName(model: string): boolean {
  return problemWith(model) === undefined;
}

function problemWith(model: string): string | undefined {
  if (model === "") return "be empty";
  if (model.length > maxModelNameLength) return `be longer than ${maxModelNameLength} characters`;
  if (unprintable.test(model)) return "contain control characters";
  if (model !== model.trim()) return "begin or end with a space";
  // In a URL these name a folder, encoded or not.
  if (/(^|\/)\.{1,2}(\/|$)/.test(model)) return "have dots for a part of it";
  return undefined;
}

/** What names are compared by: case does not count. */
export function foldName(name: string): string {
  return name.toLowerCase();
}

/** Whether a name of an allow list stands for more than itself. */
export function isPattern(entry: string): boolean {
  return entry.includes("*") || entry.includes("?");
}

/** The native name in `name` when it begins with `<upstream>/`, whatever the case; else undefined. */
export function withoutPrefix(name: string, upstream: string): string | undefined {
  const prefix = `${foldName(upstream)}/`;
  return foldName(name.slice(0, prefix.length)) === prefix ? name.slice(prefix.length) : undefined;
}
