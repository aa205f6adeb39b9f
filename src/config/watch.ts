import type { Config, Loaded, Problem } from "./types.js";

/** Keeps a running gateway's configuration up to date. */
export interface ConfigWatch {
  /** Reads the configuration again, at once. */
  reload(): void;
  close(): void;
}

/**
 * Reads the configuration again whenever its file changes, and on `reload`. A whole and right one is handed to
 * `onConfig`; a broken one changes nothing and is handed to `onProblems`.
 */
export function watchConfig(parts: {
  readonly load: () => Loaded;
  /** Calls `onChange` whenever the file is another one; returns how to stop. Undefined: there is no file. */
  readonly watch: ((onChange: () => void) => () => void) | undefined;
  readonly onConfig: (config: Config) => void;
  readonly onProblems: (problems: readonly Problem[]) => void;
}): ConfigWatch {
  const reload = (): void => {
    const loaded = parts.load();
    if ("config" in loaded) parts.onConfig(loaded.config);
    else parts.onProblems(loaded.problems);
  };
  const stop = parts.watch?.(reload);
  return { reload, close: () => stop?.() };
}
