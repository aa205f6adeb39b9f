// What the decoders of native streams have in common: the order that typed events must keep.

import {
  StreamCompleteResponse_PartKind as PartKind,
  type StopReason,
  type StreamCompleteResponse_PartKind,
} from "../../gen/codygateway/v1/completions_pb.js";
import { isObject, type Json } from "./answers.js";
import type { Usage } from "./provider.js";
import { type TypedEvent, UnreadableAnswerError } from "./typed.js";

/** A part as it begins. */
export interface OpenedPart {
  readonly kind: StreamCompleteResponse_PartKind;
  readonly toolUseId?: string;
  readonly toolName?: string;
  readonly redactedData?: string;
}

/** How an answer ended. */
export interface Ending {
  readonly stopReason: StopReason;
  readonly stopSequence?: string;
  readonly usage: Usage;
}

/** Writes the events of one stream: `started` first, parts numbered as they open, all of them closed, `finished` last. */
export interface EventWriter {
  readonly started: boolean;
  readonly finished: boolean;
  start(id: string): void;
  /** Returns the part's index. */
  open(part: OpenedPart): number;
  /** More of an open part of that kind: of its text, its thinking or its tool input. No event when it is empty. */
  add(index: number, kind: StreamCompleteResponse_PartKind, text: string): void;
  sign(index: number, signature: string): void;
  close(index: number): void;
  finish(ending: Ending): void;
  /** The events written since they were last taken. */
  take(): readonly TypedEvent[];
}

export function createEventWriter(): EventWriter {
  const open = new Map<number, StreamCompleteResponse_PartKind>();
  let events: TypedEvent[] = [];
  let parts = 0;
  let started = false;
  let finished = false;

  const checkOpen = (index: number, kind = open.get(index)): void => {
    if (kind === undefined || open.get(index) !== kind)
      throw new UnreadableAnswerError("more of a part that is not open, or of another kind");
  };
  const writer: EventWriter = {
    get started() {
      return started;
    },
    get finished() {
      return finished;
    },
    start(id) {
      if (started) throw new UnreadableAnswerError("the answer begins twice");
      started = true;
      events.push({ case: "started", value: { id } });
    },
    open(part) {
      if (!started) throw new UnreadableAnswerError("a part before the answer's beginning");
      const index = parts++;
      open.set(index, part.kind);
      events.push({ case: "partStarted", value: { index, ...part } });
      return index;
    },
    add(index, kind, text) {
      checkOpen(index, kind);
      if (text === "") return;
      if (kind === PartKind.TEXT) events.push({ case: "textDelta", value: { index, text } });
      else if (kind === PartKind.THINKING) events.push({ case: "thinkingDelta", value: { index, text } });
      else events.push({ case: "toolInputDelta", value: { index, jsonFragment: text } });
    },
    sign(index, signature) {
      checkOpen(index);
      if (signature !== "") events.push({ case: "signatureDelta", value: { index, signature } });
    },
    close(index) {
      checkOpen(index);
      open.delete(index);
      events.push({ case: "partFinished", value: { index } });
    },
    finish(ending) {
      if (!started) throw new UnreadableAnswerError("the end before the answer's beginning");
      if (finished) return;
      for (const index of open.keys()) writer.close(index);
      finished = true;
      events.push({ case: "finished", value: ending });
    },
    take() {
      const taken = events;
      events = [];
      return taken;
    },
  };
  return writer;
}

/** The payload as a JSON object; throws when it is none. */
export function payloadOf(data: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch (cause) {
    throw new UnreadableAnswerError("an event that is not JSON", { cause });
  }
  return objectIn(value, "event");
}

/** `value`, which must be an object; `what` says of what, when it is not. */
export function objectIn(value: unknown, what: string): Json {
  if (!isObject(value)) throw new UnreadableAnswerError(`${what} is not an object`);
  return value;
}

/** `value`, which must be a string. */
export function stringIn(value: unknown, what: string): string {
  if (typeof value !== "string") throw new UnreadableAnswerError(`${what} is not a string`);
  return value;
}

/** `value`, which must be an array. */
export function arrayIn(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new UnreadableAnswerError(`${what} is not an array`);
  return value;
}
