// What the sinks that write lines have in common: one event a line, as JSON.

import type { UsageEvent } from "../event.js";
import type { Sink } from "../sink.js";

/** A sink that hands each batch to `write` as one text, a line for each event. `write` may fail midway. */
export function createLineSink(name: string, write: (text: string) => Promise<void>): Sink {
  // Set while the last line may not be whole: the next batch then begins on a line of its own.
  let torn = false;
  return {
    name,
    async send(batch) {
      if (batch.length === 0) return;
      const text = `${torn ? "\n" : ""}${batch.map(toLine).join("")}`;
      torn = true;
      await write(text);
      torn = false;
    },
  };
}

/** Some readers take U+2028 and U+2029 for ends of lines; JSON does not need them as they are. */
function toLine(event: UsageEvent): string {
  const json = JSON.stringify(event);
  return `${json.replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029")}\n`;
}
