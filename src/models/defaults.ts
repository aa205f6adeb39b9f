// Which models an upstream serves when its configuration does not say: exact names for lists, patterns for the families.

import { fireworksModels } from "./fireworks.js";

const anthropic = [
  "claude-v1",
  "claude-v1-100k",
  "claude-v1.0",
  "claude-v1.2",
  "claude-v1.3",
  "claude-v1.3-100k",
  "claude-2",
  "claude-2.0",
  "claude-2.1",
  "claude-2-100k",
  "claude-instant-v1",
  "claude-instant-1",
  "claude-instant-v1-100k",
  "claude-instant-v1.0",
  "claude-instant-v1.1",
  "claude-instant-v1.1-100k",
  "claude-instant-v1.2",
  "claude-instant-1.2",
  "claude-instant-1.2-cyan",
  "claude-3-haiku-20240307",
  "claude-3-sonnet-20240229",
  "claude-3-5-sonnet-20240620",
  "claude-3-opus-20240229",
  "claude-*",
];

const openai = [
  "gpt-4",
  "gpt-3.5-turbo",
  "gpt-4o",
  "gpt-4-turbo",
  "gpt-4-turbo-preview",
  "gpt-*",
  "o?",
  "o?-*",
  "chatgpt-*",
  "codex-*",
];

const google = [
  "gemini-1.5-flash-latest",
  "gemini-1.5-pro-latest",
  "gemini-1.0-pro-latest",
  "gemini-1.5-flash-001",
  "gemini-1.5-pro-001",
  "gemini-1.5-flash",
  "gemini-1.5-pro",
  "gemini-1.0-pro",
  "gemini-*",
  "gemma-*",
  "learnlm-*",
];

/** Native model names and patterns by kind of upstream. A kind that is not here serves nothing unless configured. */
export const defaultModels: ReadonlyMap<string, readonly string[]> = new Map([
  ["anthropic", anthropic],
  ["openai", openai],
  ["google", google],
  ["fireworks", fireworksModels],
]);
