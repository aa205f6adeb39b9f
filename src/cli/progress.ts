import type { Output } from "./io.js";

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
      output.write(`\r\u001b[2K${text}`);
      shown = true;
    },
    clear() {
      if (shown) output.write("\r\u001b[2K");
      shown = false;
    },
  };
}

const width = 30;

/** `[#####-----] 50 %`; of an unknown total, only what is done. */
export function bar(done: number, total: number | undefined): string {
  if (total === undefined || total < done || total === 0) return done.toLocaleString("en-US");
  const filled = Math.round((done / total) * width);
  return `[${"#".repeat(filled)}${"-".repeat(width - filled)}] ${Math.floor((100 * done) / total)} %`;
}
