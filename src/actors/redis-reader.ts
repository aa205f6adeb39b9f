// Reading what is in Redis: everything once, then change by change, and everything again where changes are missing.

import type { ScriptAnswer } from "../lib/redis-runs.js";
import type { Restore } from "./redis-restore.js";
import { Answer, changeSize, recordKinds } from "./scripts.js";
import { maxRecords, type RecordKind, type StoreListener, type StoreRecord } from "./store.js";

export interface ChangeReader {
  /** Number of the last change that the listener was told of. */
  position(): number;
  /**
   * Tells all there is to tell. False: Redis has lost it, and another process gives it back. Rejects while Redis is away. In
   * both cases what was told stays.
   */
  catchUp(): Promise<boolean>;
}

export interface ChangeReaderParts {
  readonly listener: StoreListener;
  /** Runs a script about records. Rejects while Redis is away. */
  readonly run: (script: "read" | "scan" | "expire", args: readonly string[]) => Promise<ScriptAnswer>;
  /** Arguments of the script that removes what has expired. */
  readonly expireArgs: () => readonly string[];
  readonly restore: Restore;
  /** The position moved on, or everything was told. */
  readonly onTold: (event: "changes" | "everything") => void;
}

/** Changes asked for at once: no more records than a listener takes. */
const maxChanges = Math.floor(maxRecords / changeSize);
/** Records asked for at once when all are. */
const scanCount = 250;

export function createChangeReader(parts: ChangeReaderParts): ChangeReader {
  const { listener, run, expireArgs, restore, onTold } = parts;
  /** Id of the last change that was told; undefined: everything has to be told. */
  let position: string | undefined;
  /** Name of the data that was told; empty: it has none yet. */
  let era = "";
  let knows = false;

  /** Tells all changes that Redis knows of by now. False: some that came after the last one told are missing. */
  async function readOn(): Promise<boolean> {
    for (;;) {
      const answer = await run("read", [position ?? "", String(maxChanges)]);
      // What has no name yet may get one.
      if (answer[0] === Answer.gone || (era !== "" && answer[4] !== era)) return false;
      era = String(answer[4]);
      const changes = readChanges(answer);
      if (changes.length > 0) {
        listener.changed(changes.flatMap(({ records }) => records));
        position = changes.at(-1)?.id;
        onTold("changes");
      }
      if (changes.length === maxChanges) continue;
      if (answer[3] !== 1) return true;
      // It tells of them as of other changes.
      await run("expire", expireArgs());
    }
  }

  /** False: Redis has lost it, and another process gives it back. */
  async function tellEverything(): Promise<boolean> {
    // Before anything else: what changes meanwhile is told afterwards, on top of what was found.
    let answer = await run("read", ["", "0"]);
    if (answer[4] === "" && knows && listener.records !== undefined) {
      if (!(await restore.restore(listener))) return false;
      answer = await run("read", ["", "0"]);
    }
    const start = String(answer[2]);
    era = String(answer[4]);
    listener.reloading();
    for (let kind = 0; kind < recordKinds.length; kind++) await tellKind(kind);
    position = start;
    if (!(await readOn())) throw new Error("changes were trimmed while everything was read");
    listener.reloaded();
    knows = true;
    onTold("everything");
    return true;
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
      if (position !== undefined && (await readOn())) {
        if (era === "") era = (await restore.name()) ?? "";
        return true;
      }
      position = undefined;
      try {
        return await tellEverything();
      } catch (error) {
        position = undefined;
        throw error;
      }
    },
  };
}

interface Change {
  readonly id: string;
  readonly records: readonly StoreRecord[];
}

function readChanges(answer: ScriptAnswer): readonly Change[] {
  const changes: Change[] = [];
  for (let at = 5; at < answer.length; ) {
    const id = String(answer[at]);
    const end = at + 2 + 2 * Number(answer[at + 1]);
    const records: StoreRecord[] = [];
    for (at += 2; at < end; at += 2) {
      const member = String(answer[at]);
      const space = member.indexOf(" ");
      const kind = recordKinds[Number(member.slice(0, space)) - 1];
      // A newer version has kinds that this one does not know.
      if (kind !== undefined) records.push(readValue(kind, member.slice(space + 1), String(answer[at + 1])));
    }
    changes.push({ id, records });
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
