import {
  StreamCompleteResponse_PartKind as PartKind,
  type StopReason,
  StopReason as StopReasons,
} from "../../gen/codygateway/v1/completions_pb.js";
import type { TypedAnswer, TypedEvent } from "../../src/providers/typed.js";

/** An answer in the short form of the `.expected.json` files. */
export interface PlainAnswer {
  id: string;
  parts: object[];
  stopReason: string;
  stopSequence?: string;
}

type OpenPart = { kind: PartKind; text: string; signature: string; id: string; name: string; redacted: string };

/** Puts a stream's events together, as a caller does. Throws when they come in an order they must not have. */
export function assemble(events: readonly TypedEvent[]): PlainAnswer & { usage: object } {
  const [first, ...others] = events;
  const last = others.pop();
  if (first?.case !== "started") throw new Error("the first event is not started");
  if (last?.case !== "finished") throw new Error("the last event is not finished");
  const parts: OpenPart[] = [];
  const open = new Set<number>();
  const partOf = (index = 0): OpenPart => {
    const part = parts[index];
    if (!part || !open.has(index)) throw new Error(`part ${index} is not open`);
    return part;
  };
  for (const event of others) {
    if (event.case === "partStarted") {
      const { index = 0, kind = PartKind.UNSPECIFIED, toolUseId = "", toolName = "", redactedData = "" } = event.value;
      if (index !== parts.length) throw new Error("parts are not counted up");
      parts.push({ kind, text: "", signature: "", id: toolUseId, name: toolName, redacted: redactedData });
      open.add(index);
    } else if (event.case === "textDelta") add(partOf(event.value.index), PartKind.TEXT, event.value.text);
    else if (event.case === "thinkingDelta") add(partOf(event.value.index), PartKind.THINKING, event.value.text);
    else if (event.case === "toolInputDelta")
      add(partOf(event.value.index), PartKind.TOOL_USE, event.value.jsonFragment);
    else if (event.case === "signatureDelta") partOf(event.value.index).signature += event.value.signature ?? "";
    else if (event.case === "partFinished") {
      partOf(event.value.index);
      open.delete(event.value.index ?? 0);
    } else throw new Error(`unexpected ${event.case}`);
  }
  if (open.size > 0) throw new Error("a part is left open");
  const { stopReason, stopSequence, usage = {} } = last.value;
  return { ...ending(first.value.id, stopReason, stopSequence), parts: parts.map(plainPart), usage: { ...usage } };
}

function add(part: OpenPart, kind: PartKind, text = ""): void {
  if (part.kind !== kind) throw new Error("a delta of another kind");
  if (text === "") throw new Error("an empty delta");
  part.text += text;
}

function plainPart({ kind, text, signature, id, name, redacted }: OpenPart): object {
  if (kind === PartKind.TEXT) return { text };
  const signed = signature === "" ? {} : { signature };
  if (kind === PartKind.TOOL_USE)
    return { toolUse: { id, name, input: JSON.parse(text === "" ? "{}" : text) }, ...signed };
  if (redacted !== "") return { redactedData: redacted };
  return { thinking: text, ...signed };
}

/** A whole answer in the same form. */
export function plainAnswer(answer: TypedAnswer): PlainAnswer & { usage: object } {
  const parts = (answer.message?.parts ?? []).map(({ kind }) => {
    if (kind?.case === "text") return { text: kind.value };
    if (kind?.case === "toolUse") {
      const { id, name, input, signature } = kind.value;
      return { toolUse: { id, name, input }, ...(signature && { signature }) };
    }
    if (kind?.case !== "thinking") throw new Error(`unexpected ${kind?.case}`);
    const { text, signature, redactedData } = kind.value;
    return redactedData ? { redactedData } : { thinking: text, ...(signature && { signature }) };
  });
  const { id, stopReason, stopSequence, usage = {} } = answer;
  return { ...ending(id, stopReason, stopSequence), parts, usage: { ...usage } };
}

function ending(id = "", stopReason: StopReason = StopReasons.UNSPECIFIED, stopSequence?: string) {
  const [reason] = Object.entries(StopReasons).find(([, value]) => value === stopReason) ?? ["?"];
  return { id, stopReason: reason, ...(stopSequence !== undefined && { stopSequence }) };
}
