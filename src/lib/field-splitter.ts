/** Cuts the bytes of a protobuf message, as they come, between its fields: each part is a message with some of them. */
export interface FieldSplitter {
  /** Takes over more bytes; returns the parts that are whole by now. Throws `RangeError` for what is no message. */
  push(bytes: Uint8Array): readonly Uint8Array[];
  /** What is left: call it at the end. Throws `RangeError` when the last field is not whole. */
  rest(): Uint8Array;
}

const empty: Uint8Array = new Uint8Array(0);

/** How a message is cut. */
export interface FieldSplitterOptions {
  /** Parts have at least so many, but for the last. */
  readonly partBytes: number;
  /** Longer fields are refused. */
  readonly maxFieldBytes: number;
  /** But not those of this number, which are messages: of a longer one its beginning stays, as a message that breaks off. */
  readonly shortened?: number;
}

/** What stays of a field that is shortened. */
const shortBytes = 1_024;
/** The beginning of a number that does not go on: no message ends so. */
const broken = Uint8Array.of(0xff);

/** For one message. */
export function createFieldSplitter({ partBytes, maxFieldBytes, shortened }: FieldSplitterOptions): FieldSplitter {
  let held = empty;
  /** So many of those bytes are whole fields. */
  let whole = 0;
  /** So many bytes to come are the rest of a field that was shortened. */
  let unwanted = 0;

  function next(): boolean {
    const { end, content } = fieldAt(held, whole);
    if ((end ?? held.length) - whole > maxFieldBytes) {
      if (content === undefined || content.number !== shortened)
        throw new RangeError(`a field of more than ${maxFieldBytes} bytes`);
      return shorten(content.start, end as number);
    }
    if (end === undefined || end > held.length) return false;
    whole = end;
    return true;
  }

  function shorten(start: number, end: number): boolean {
    const cut = Math.min(start + shortBytes, end);
    if (held.length < cut) return false;
    const head = fieldHead(shortened as number, cut - start + broken.length);
    const short = [head, held.subarray(start, cut), broken];
    unwanted = Math.max(0, end - held.length);
    held = Buffer.concat([held.subarray(0, whole), ...short, held.subarray(Math.min(end, held.length))]);
    whole += short.reduce((sum, { length }) => sum + length, 0);
    return true;
  }

  return {
    push(given) {
      const bytes = given.subarray(Math.min(unwanted, given.length));
      unwanted -= given.length - bytes.length;
      held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
      const parts: Uint8Array[] = [];
      while (next()) {
        if (whole < partBytes) continue;
        parts.push(held.subarray(0, whole));
        held = held.subarray(whole);
        whole = 0;
      }
      return parts;
    },
    rest() {
      if (whole < held.length || unwanted > 0) throw new RangeError("the end of a field is missing");
      const last = held;
      held = empty;
      whole = 0;
      return last;
    },
  };
}

/** A field, as far as the bytes that are there tell of it. */
interface Field {
  /** Where it ends, maybe behind these bytes. */
  readonly end?: number;
  /** Of one that says how long it is: its number, and where what is in it begins. */
  readonly content?: { readonly number: number; readonly start: number };
}

/** The field that begins at `start`. */
function fieldAt(bytes: Uint8Array, start: number): Field {
  const tag = readVarint(bytes, start);
  if (tag === undefined) return {};
  if (tag.value < 8) throw new RangeError("a field without a number");
  const wireType = tag.value % 8;
  if (wireType === 1) return { end: tag.end + 8 };
  if (wireType === 5) return { end: tag.end + 4 };
  if (wireType !== 0 && wireType !== 2) throw new RangeError(`a field of wire type ${wireType}`);
  const value = readVarint(bytes, tag.end);
  if (value === undefined) return {};
  if (wireType === 0) return { end: value.end };
  return { end: value.end + value.value, content: { number: Math.floor(tag.value / 8), start: value.end } };
}

/** What is before the content of a field that says how long it is. */
function fieldHead(number: number, length: number): Uint8Array {
  return Uint8Array.of(...varint(number * 8 + 2), ...varint(length));
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
}

function readVarint(bytes: Uint8Array, start: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let at = start, factor = 1; at < start + 10; at++, factor *= 128) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, end: at + 1 };
  }
  throw new RangeError("a number of more than ten bytes");
}
