// Finding any of many phrases in one pass over a text, after Aho and Corasick (https://doi.org/10.1145/360825.360855): the time
// it takes does not depend on how many phrases there are, nor on what is in them or in the text.

/** Looks for phrases in a text that comes in slices. */
export interface PhraseSearch {
  /** The next slice. Returns the index of a phrase that ends in it; undefined: none does. */
  next(slice: string): number | undefined;
}

export interface PhraseFinder {
  search(): PhraseSearch;
}

/** Most cells of a finder's table, 4 bytes each. */
export const maxCells = 4 * 1024 * 1024;

/** How many cells a finder of these phrases has: about their letters together, times the different ones among them. */
export function cellsOf(phrases: readonly string[]): number {
  const folded = phrases.map(fold);
  const letters = new Set(folded.flatMap((phrase) => [...unitsOf(phrase)]));
  return (1 + folded.reduce((sum, { length }) => sum + length, 0)) * (1 + letters.size);
}

/** Upper and lower case are the same. Phrases are not empty, and `cellsOf` them at most `maxCells`. */
export function createPhraseFinder(phrases: readonly string[]): PhraseFinder {
  const { table, found, classes, classOf } = build(phrases.map(fold));
  return {
    search() {
      let state = 0;
      return {
        next(slice) {
          const text = fold(slice);
          for (let at = 0; at < text.length; at++) {
            state = table[state + (classOf[text.charCodeAt(at)] as number)] as number;
            const phrase = found[state / classes] as number;
            if (phrase > 0) return phrase - 1;
          }
          return undefined;
        },
      };
    },
  };
}

interface Automaton {
  /** Next state by state and class of letter. A state is the place of its row. */
  readonly table: Int32Array;
  /** By the number of a state: which phrase ends there, counted from 1; 0: none. */
  readonly found: Int32Array;
  readonly classes: number;
  /** Of each UTF-16 unit; 0 for those that no phrase has. */
  readonly classOf: Uint16Array;
}

function build(phrases: readonly string[]): Automaton {
  const classOf = new Uint16Array(65_536);
  let classes = 1;
  for (const phrase of phrases) for (const unit of unitsOf(phrase)) classOf[unit] ||= classes++;
  const states = 1 + phrases.reduce((sum, { length }) => sum + length, 0);
  const table = new Int32Array(states * classes);
  const found = new Int32Array(states);
  let made = 1;
  for (const [index, phrase] of phrases.entries()) {
    let state = 0;
    for (const unit of unitsOf(phrase)) {
      const cell = state + (classOf[unit] as number);
      state = table[cell] ||= made++ * classes;
    }
    found[state / classes] ||= index + 1;
  }
  complete({ table, found, classes });
  return { table, found, classes, classOf };
}

/** Gives each state the steps of the longest other state that its text ends with, where it has none of its own. */
function complete({ table, found, classes }: Pick<Automaton, "table" | "found" | "classes">): void {
  const fallback = new Int32Array(found.length);
  const queue: number[] = [];
  for (let letter = 1; letter < classes; letter++) if (table[letter] !== 0) queue.push(table[letter] as number);
  for (const state of queue) {
    const other = fallback[state / classes] as number;
    found[state / classes] ||= found[other / classes] as number;
    for (let letter = 1; letter < classes; letter++) {
      const step = table[state + letter] as number;
      const otherStep = table[other + letter] as number;
      if (step === 0) table[state + letter] = otherStep;
      else {
        fallback[step / classes] = otherStep;
        queue.push(step);
      }
    }
  }
}

/** Sigma has two small forms, by its place in a word: which one must not depend on where a slice ends. */
function fold(text: string): string {
  return text.toLowerCase().replaceAll("ς", "σ");
}

function* unitsOf(text: string): Generator<number> {
  for (let at = 0; at < text.length; at++) yield text.charCodeAt(at);
}
