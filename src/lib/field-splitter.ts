/** Cuts the bytes of a protobuf message, as they come, between its fields: each part is a message with some of them. */
export interface FieldSplitter {
  /** Takes over more bytes; returns the parts that are whole by now. Throws `RangeError` for what is no message. */
  push(bytes: Uint8Array): readonly Uint8Array[];
  /** What is left: call it at the end. Throws `RangeError` when the last field is not whole. */
  rest(): Uint8Array;
}

const empty: Uint8Array = new Uint8Array(0);

/** Parts have at least `partBytes`, but for the last; fields of more than `maxFieldBytes` are refused. */
export function createFieldSplitter(options: {
  readonly partBytes: number;
  readonly maxFieldBytes: number;
}): FieldSplitter {
  const { partBytes, maxFieldBytes } = options;
  let held = empty;
  /** So many of those bytes are whole fields. */
  let whole = 0;

  function next(): boolean {
    const end = fieldEnd(held, whole);
    if ((end ?? held.length) - whole > maxFieldBytes)
      throw new RangeError(`a field of more than ${maxFieldBytes} bytes`);
    if (end === undefined) return false;
    whole = end;
    return true;
  }

  return {
    push(bytes) {
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
      if (whole < held.length) throw new RangeError("the end of a field is missing");
      const last = held;
      held = empty;
      whole = 0;
      return last;
    },
  };
}

/** Where the field ends that begins at `start`; undefined: not within these bytes. */
function fieldEnd(bytes: Uint8Array, start: number): number | undefined {
  const tag = readVarint(bytes, start);
  if (tag === undefined) return undefined;
  if (tag.value < 8) throw new RangeError("a field without a number");
  const end = endOfValue(bytes, tag.value % 8, tag.end);
  return end === undefined || end > bytes.length ? undefined : end;
}

/** Undefined: more bytes are needed to tell. It may lie behind the bytes that are there. */
function endOfValue(bytes: Uint8Array, wireType: number, start: number): number | undefined {
  if (wireType === 0) return readVarint(bytes, start)?.end;
  if (wireType === 1) return start + 8;
  if (wireType === 5) return start + 4;
  if (wireType !== 2) throw new RangeError(`a field of wire type ${wireType}`);
  const length = readVarint(bytes, start);
  return length && length.end + length.value;
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
