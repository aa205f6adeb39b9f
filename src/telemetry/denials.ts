import type { Log } from "../lib/log.js";

/** Says who was refused, without letting those who hammer fill the log. */
export interface DenialLog {
  /**
   * A request was refused. `key` says which refusals are alike: the first is said at once, those of the next second as
   * one line with their number. `fields` is asked for only what is said.
   */
  denied(key: string, fields: () => object): void;
  /** Says what was not said yet, and stops. */
  close(): void;
}

/** Most kinds of refusals told apart at once; what comes on top counts as one kind. */
const maxKeys = 100;

const message = "request refused";

export function createDenialLog(log: Pick<Log, "info">, options: { readonly windowMs?: number } = {}): DenialLog {
  const { windowMs = 1_000 } = options;
  const open = new Map<string, { fields: () => object; more: number }>();
  let timer: NodeJS.Timeout | undefined;

  // A kind that was silent for a whole window is forgotten: its next refusal is said at once again.
  const tell = (): void => {
    for (const [key, entry] of open) {
      if (entry.more === 0) open.delete(key);
      else log.info({ ...entry.fields(), times: entry.more }, message);
      entry.more = 0;
    }
    if (open.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  return {
    denied(key, fields) {
      const crowded = open.size >= maxKeys && !open.has(key);
      const kind = crowded ? "" : key;
      const entry = open.get(kind);
      if (entry) {
        entry.fields = fields;
        entry.more += 1;
        return;
      }
      open.set(kind, { fields, more: 0 });
      log.info(fields(), message);
      timer ??= setInterval(tell, windowMs).unref();
    },
    close() {
      tell();
      clearInterval(timer);
    },
  };
}
