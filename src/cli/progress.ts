import type { Output } from "./io.js";
import { fitted } from "./width.js";

/** One line that is written over, on a terminal; nothing elsewhere. */
export interface Progress {
  show(text: string): void;
  /** Takes the line away, so that something else can be printed. */
  clear(): void;
}

export function createProgress(output: Output): Progress {
  let shown = false;
  return {
    show(text) {
      if (output.isTTY !== true) return;
      // What runs over into a second line could not be written over.
      const { columns = 80 } = output;
      output.write(`\r\u001b[2K${fitted(text, columns - 1)}`);
      shown = true;
    },
    clear() {
      if (shown) output.write("\r\u001b[2K");
      shown = false;
    },
  };
}

const wideBar = 30;
const narrowBar = 10;
/** From so many columns on there is room for a wide bar beside what is told. */
const wideFrom = 110;

/** `[#####-----] 50 %`; of an unknown total, only what is done. */
export function bar(done: number, total: number | undefined, columns = 80): string {
  if (total === undefined || total < done || total === 0) return done.toLocaleString("en-US");
  const width = columns < wideFrom ? narrowBar : wideBar;
  const filled = Math.round((done / total) * width);
  return `[${"#".repeat(filled)}${"-".repeat(width - filled)}] ${Math.floor((100 * done) / total)} %`;
}
