// Regular expressions over prompts: an engine that takes time in proportion to the text whatever the expression, in a thread
// of its own, since even that can be longer than others may be kept waiting.

import { createRequire } from "node:module";
import type * as Engine from "re2js";
import { createAskedThread } from "../lib/asked-thread.js";

const load = createRequire(import.meta.url);

export interface ExpressionFinder {
  /** One expression of each of these sets that matches somewhere in the text. Undefined: it could not be said in time. */
  matching(text: string, sets: readonly number[]): Promise<readonly SetMatch[] | undefined>;
  close(): Promise<void>;
}

/** An expression that matches, by its place in the lists that were given. */
export interface SetMatch {
  readonly set: number;
  readonly expression: number;
}

interface Question {
  readonly text: string;
  readonly wanted: readonly number[];
}

/** Expressions take no more than this many instructions each: what a text may cost is bounded by it. */
export const maxInstructions = 2_000;
/** Texts that may wait. */
const maxWaiting = 64;
const idleMs = 5 * 60_000;
const timeoutMs = 10_000;

/** What is wrong with an expression; undefined: nothing. Never throws. */
export function expressionProblem(expression: string): string | undefined {
  // Takes time and memory at the start, for those who use it.
  const { RE2JS } = load("re2js") as typeof Engine;
  let size: number;
  try {
    size = RE2JS.compile(expression, RE2JS.CASE_INSENSITIVE).programSize();
  } catch (error) {
    const said = error instanceof Error ? error.message : "unreadable";
    return `expected a regular expression in RE2's syntax: ${said.replace(/^error parsing regexp: /, "").slice(0, 120)}`;
  }
  return size > maxInstructions ? "expected a smaller regular expression: its repetitions multiply" : undefined;
}

/** Each of `sets` is a list of expressions that `expressionProblem` has nothing against. Upper and lower case are the same. */
export function createExpressionFinder(sets: readonly (readonly string[])[]): ExpressionFinder {
  const thread = createAskedThread<Question, readonly SetMatch[]>({
    code: threadCode,
    data: { engine: load.resolve("re2js"), sets },
    idleMs,
    timeoutMs,
  });
  return {
    async matching(text, wanted) {
      return thread.waiting >= maxWaiting ? undefined : thread.ask({ text, wanted });
    },
    close: thread.close,
  };
}

/** All expressions of a set are one machine, which reads the text once. */
const threadCode = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { RE2JS, RE2Set } = require(workerData.engine);
  const machines = workerData.sets.map((expressions) => {
    const machine = new RE2Set(RE2Set.UNANCHORED, RE2JS.CASE_INSENSITIVE);
    for (const expression of expressions) machine.add(expression);
    machine.compile();
    return machine;
  });

  parentPort.on("message", ({ number, question: { text, wanted } }) => {
    try {
      const answer = wanted.flatMap((set) =>
        machines[set].match(text).slice(0, 1).map((expression) => ({ set, expression })));
      parentPort.postMessage({ number, answer });
    } catch {
      parentPort.postMessage({ number });
    }
  });
`;
