// What the demo upstream says: the same for every API, told by each in its own shape.

import type { Usage } from "../providers/provider.js";
import type { Behaviour } from "./behaviour.js";

/** What a request asks for, whatever API it came through. */
export interface Ask {
  readonly model: string;
  /** What the user said last. */
  readonly prompt: string;
  readonly inputTokens: number;
  readonly stream: boolean;
  readonly maxTokens: number | undefined;
  readonly stops: readonly string[];
  readonly tools: readonly AskedTool[];
  /** The request demands a tool call, of this tool or of any. */
  readonly toolDemanded: string | boolean;
  /** The last message brings a tool's result. */
  readonly afterTool: boolean;
  readonly thinking: boolean;
  /** The answer is to be JSON of this schema. */
  readonly schema: unknown;
  /** The answer continues the prompt, which is code. */
  readonly code: boolean;
  readonly images: number;
  readonly endUser: string | undefined;
  /** The stream is to report its usage. */
  readonly includeUsage: boolean;
  /** How many answers are asked for. */
  readonly choices: number;
}

/** A tool the request offers. */
export interface AskedTool {
  readonly name: string;
  readonly schema: unknown;
}

/** One delta of an answer. */
export type Piece =
  | { readonly kind: "text" | "thinking"; readonly text: string }
  | { readonly kind: "tool"; readonly id: string; readonly name: string; readonly json: string };

/** The answer to one request. */
export interface Answer {
  /** Unique within the process; each API makes its own kind of id of it. */
  readonly number: number;
  readonly pieces: readonly Piece[];
  readonly finish: "stop" | "length" | "tool";
  /** The stop sequence at which it ended. */
  readonly stoppedAt: string | undefined;
  /** Undefined: the answer does not report it. Input includes what was cached, output what was thought. */
  readonly usage: Required<Usage> | undefined;
}

/** The tokens of a text: one for each four characters begun. */
export function countTokens(text: string): number {
  return Math.ceil(text.length / 4);
}

const tokensPerImage = 1000;
// Members whose strings are no text for the model.
const noText = new Set([
  "data",
  "url",
  "image_url",
  "file_data",
  "fileUri",
  "signature",
  "id",
  "tool_use_id",
  "type",
  "role",
]);

/** The tokens of whatever holds text: messages, a system prompt, tools. */
export function countTokensOf(...values: readonly unknown[]): number {
  let characters = 0;
  const visit = (value: unknown, key: string): void => {
    if (typeof value === "string") characters += noText.has(key) ? 0 : value.length;
    else if (Array.isArray(value)) for (const item of value) visit(item, key);
    else if (value && typeof value === "object") for (const [name, item] of Object.entries(value)) visit(item, name);
  };
  for (const value of values) visit(value, "");
  return Math.max(1, Math.ceil(characters / 4));
}

/** What images add to the input. */
export function countImages(images: number): number {
  return images * tokensPerImage;
}

let answers = 0;

/** The answer: what it says depends on the request alone, so that the same request is answered the same way. */
export function makeAnswer(ask: Ask, behaviour: Behaviour): Answer {
  const number = ++answers;
  const thinking = ask.thinking ? thoughts(ask) : [];
  const tool = chooseTool(ask, behaviour);
  const said = tool ? undefined : speak(ask, behaviour);
  const pieces: Piece[] = [
    ...thinking.map((text): Piece => ({ kind: "thinking", text })),
    ...(tool ? toolPieces(tool, number) : split(said?.text ?? "", behaviour)),
  ];
  return {
    number,
    pieces,
    finish: tool ? "tool" : (said?.finish ?? "stop"),
    stoppedAt: said?.stoppedAt,
    usage: behaviour.noUsage ? undefined : usageOf(ask, pieces, thinking, behaviour),
  };
}

function thoughts(ask: Ask): readonly string[] {
  return ["The question is ", JSON.stringify(shorten(ask.prompt, 60)), ". ", "A short, friendly answer will do."];
}

function chooseTool(ask: Ask, behaviour: Behaviour): AskedTool | undefined {
  const { tools, toolDemanded } = ask;
  const named = typeof toolDemanded === "string" ? tools.find((tool) => tool.name === toolDemanded) : undefined;
  if (named) return named;
  const prompt = ask.prompt.toLowerCase();
  const mentioned = tools.find((tool) => prompt.includes(tool.name.toLowerCase()));
  const asked =
    behaviour.tool === true || toolDemanded === true || mentioned !== undefined || /\btools?\b/.test(prompt);
  return asked && !ask.afterTool ? (mentioned ?? tools[0]) : undefined;
}

function toolPieces(tool: AskedTool, number: number): readonly Piece[] {
  const id = `${number}_${tool.name}`;
  const json = JSON.stringify(sampleOf(tool.schema));
  const half = Math.ceil(json.length / 2);
  return [json.slice(0, half), json.slice(half)]
    .filter((part) => part !== "")
    .map((part): Piece => ({ kind: "tool", id, name: tool.name, json: part }));
}

function speak(ask: Ask, behaviour: Behaviour): { text: string; finish: "stop" | "length"; stoppedAt?: string } {
  const full = behaviour.text ?? (ask.schema === undefined ? sentence(ask) : JSON.stringify(sampleOf(ask.schema)));
  // How much is said may be prescribed; then no limit of the request cuts it.
  if (behaviour.chunks !== undefined) return { text: full, finish: "stop" };
  const stop = ask.stops
    .map((text) => ({ text, at: text === "" ? -1 : full.indexOf(text) }))
    .filter(({ at }) => at >= 0)
    .toSorted((a, b) => a.at - b.at)[0];
  const text = stop ? full.slice(0, stop.at) : full;
  if (ask.maxTokens !== undefined && countTokens(text) > ask.maxTokens)
    return { text: cut(text, Math.max(1, ask.maxTokens * 4)), finish: "length" };
  return { text, finish: "stop", ...(stop && { stoppedAt: stop.text }) };
}

function sentence(ask: Ask): string {
  if (ask.code)
    return `  // The demo upstream goes on from here, as ${ask.model} would.\n  return "naïve café ✓";\n}\n`;
  const seen = ask.images === 0 ? "" : ` I also see ${ask.images === 1 ? "an image" : `${ask.images} images`}.`;
  if (ask.afterTool)
    return `Thank you: the tool's result helps.${seen} In short: ${shorten(ask.prompt, 120)} — done ✓.`;
  return (
    `You asked: “${shorten(ask.prompt, 200)}”.${seen} I am ${ask.model} as the demo upstream plays it: no model thinks here, ` +
    "but requests, limits, streaming and usage around me are real — naïve café, 日本語, 🙂 included."
  );
}

function shorten(text: string, length: number): string {
  const plain = text
    .replaceAll(/\[\[[^[\]]*\]\]/g, "")
    .replaceAll(/\s+/g, " ")
    .trim();
  return plain.length <= length ? plain : `${cut(plain, length).trimEnd()}…`;
}

/** The beginning of a text, without half a character at its end. */
function cut(text: string, length: number): string {
  return text.slice(0, length).replace(/[\uD800-\uDBFF]$/, "");
}

function split(text: string, { chunks, deltaBytes }: Behaviour): readonly Piece[] {
  const words = deltaBytes === undefined ? (text.match(/\S+\s*|\s+/g) ?? []) : ["x".repeat(Math.max(1, deltaBytes))];
  const count = chunks ?? words.length;
  if (words.length === 0) return [];
  return Array.from(
    { length: count },
    (_, index): Piece => ({ kind: "text", text: words[index % words.length] as string }),
  );
}

function usageOf(
  ask: Ask,
  pieces: readonly Piece[],
  thinking: readonly string[],
  { usage }: Behaviour,
): Required<Usage> {
  const length = pieces.reduce((sum, piece) => sum + (piece.kind === "tool" ? piece.json : piece.text).length, 0);
  return {
    inputTokens: ask.inputTokens + countImages(ask.images),
    outputTokens: Math.max(1, Math.ceil(length / 4)) * ask.choices,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: countTokens(thinking.join("")),
    ...usage,
  };
}

/** A value of a JSON schema: examples, defaults and first choices where it has them. */
export function sampleOf(schema: unknown): unknown {
  const { type, properties, items, examples, anyOf, ...rest } = (schema ?? {}) as Record<string, unknown>;
  if ("const" in rest) return rest.const;
  if (Array.isArray(rest.enum)) return rest.enum[0];
  if (Array.isArray(examples)) return examples[0];
  if ("default" in rest) return rest.default;
  if (Array.isArray(anyOf)) return sampleOf(anyOf[0]);
  const kind = String(Array.isArray(type) ? type[0] : (type ?? "object")).toLowerCase();
  if (kind === "object")
    return Object.fromEntries(Object.entries(properties ?? {}).map(([name, value]) => [name, sampleOf(value)]));
  if (kind === "array") return [sampleOf(items)];
  if (kind === "string") return "demo";
  if (kind === "boolean") return true;
  return kind === "null" ? null : 1;
}
