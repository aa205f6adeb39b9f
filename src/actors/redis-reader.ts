// Reading what is in Redis: everything once, then change by change, and everything again where changes are missing.

import type { ScriptAnswer } from "../lib/redis-scripts.js";
import { Answer, recordKinds } from "./scripts.js";
import { maxRecords, type RecordKind, type StoreListener, type StoreRecord } from "./store.js";

export interface ChangeReader {
  /** Number of the last change that the listener was told of. */
  position(): number;
  /** Tells all there is to tell. Rejects while Redis is away: then what was told of is not lost. */
  catchUp(): Promise<void>;
}

export interface ChangeReaderParts {
  readonly listener: StoreListener;
  /** Runs a script about records. Rejects while Redis is away. */
  readonly run: (script: "read" | "scan" | "expire", args: readonly string[]) => Promise<ScriptAnswer>;
  /** Arguments of the script that removes what has expired. */
  readonly expireArgs: () => readonly string[];
  /** The position moved on, or everything was told. */
  readonly onTold: (event: "changes" | "everything") => void;
}

/** Records asked for at once when all are. */
const scanCount = 250;

export function createChangeReader({ listener, run, expireArgs, onTold }: ChangeReaderParts): ChangeReader {
  /** Id of the last change that was told; undefined: everything has to be told. */
  let position: string | undefined;

  /** Tells all changes that Redis knows of by now. False: some that came after the last one told are missing. */
  async function readOn(): Promise<boolean> {
    for (;;) {
      const answer = await run("read", [position ?? "", String(maxRecords)]);
      if (answer[0] === Answer.gone) return false;
      const changes = readChanges(answer);
      if (changes.length > 0) {
        listener.changed(changes.map(({ record }) => record));
        position = changes.at(-1)?.id;
        onTold("changes");
      }
      if (changes.length === maxRecords) continue;
      if (answer[3] !== 1) return true;
      // It tells of them as of other changes.
      await run("expire", expireArgs());
    }
  }

  async function tellEverything(): Promise<void> {
    // Before anything else: what changes meanwhile is told afterwards, on top of what was found.
    const start = String((await run("read", ["", "0"]))[2]);
    listener.reloading();
    for (let kind = 0; kind < recordKinds.length; kind++) await tellKind(kind);
    position = start;
    if (!(await readOn())) throw new Error("changes were trimmed while everything was read");
    listener.reloaded();
    onTold("everything");
  }

  async function tellKind(index: number): Promise<void> {
    let cursor = "0";
    do {
      const answer = await run("scan", [String(index + 1), cursor, String(scanCount)]);
      cursor = String(answer[2]);
      await tellSlices(readScanned(recordKinds[index] as RecordKind, answer));
    } while (cursor !== "0");
  }

  /** Redis may find more than it was asked for. */
  async function tellSlices(records: readonly StoreRecord[]): Promise<void> {
    for (let at = 0; at < records.length; at += maxRecords) {
      if (at > 0) await new Promise((resolve) => setImmediate(resolve));
      listener.changed(records.slice(at, at + maxRecords));
    }
  }

  return {
    position: () => (position === undefined ? 0 : Number(position.split("-")[0])),
    async catchUp() {
      if (position !== undefined && (await readOn())) return;
      position = undefined;
      try {
        await tellEverything();
      } catch (error) {
        position = undefined;
        throw error;
      }
    },
  };
}

function readChanges(answer: ScriptAnswer): readonly { readonly id: string; readonly record: StoreRecord }[] {
  const changes = [];
  for (let at = 4; at < answer.length; at += 3) {
    const field = String(answer[at + 1]);
    const space = field.indexOf(" ");
    const record = readValue(field.slice(0, space) as RecordKind, field.slice(space + 1), String(answer[at + 2]));
    changes.push({ id: String(answer[at]), record });
  }
  return changes;
}

/** What was found and has not expired. */
function readScanned(kind: RecordKind, answer: ScriptAnswer): readonly StoreRecord[] {
  const records = [];
  for (let at = 3; at < answer.length; at += 2) {
    const record = readValue(kind, String(answer[at]), String(answer[at + 1]));
    if ((record.expiresAt ?? Infinity) > answer[1]) records.push(record);
  }
  return records;
}

function readValue(kind: RecordKind, key: string, text: string): StoreRecord {
  if (text === "") return { kind, key, value: undefined };
  const space = text.indexOf(" ");
  const expiresAt = Number(text.slice(0, space));
  return { kind, key, value: text.slice(space + 1), ...(expiresAt > 0 && { expiresAt }) };
}
