// Answers of unary calls as streams of their parts: the listing of a hundred thousand subscriptions is one message, which must
// neither be held as a whole nor be read in one turn of the event loop.

import { Code, ConnectError } from "@connectrpc/connect";
import { encodeEnvelope, type UniversalClientFn, type UniversalClientResponse } from "@connectrpc/connect/protocol";
import { createFieldSplitter, type FieldSplitter } from "../../lib/field-splitter.js";

/** About as many bytes are read in one go: some hundred subscriptions. */
const partBytes = 96 * 1024;
/** Of one subscription: what is longer makes no sense, and does not take the others with it. */
const maxFieldBytes = 1024 * 1024;
/** The fields of a listing. All have the same. */
export const listFields = { nextPageToken: 1, entries: 2 };
/** No part has more. */
export const maxPartBytes = partBytes + maxFieldBytes;
const envelopeBytes = 5;
/** Of an error that is told in JSON. */
const maxErrorBytes = 64 * 1024;
/** Marks the last envelope of a stream in the Connect protocol. */
const endOfStream = 2;

/** A client for a gRPC transport to make streaming calls with, of methods that are unary. Answers have at most `maxBytes`. */
export function grpcInParts(client: UniversalClientFn, maxBytes: number): UniversalClientFn {
  return async (request) => {
    const answer = await client(request);
    return { ...answer, body: splitEnvelope(answer.body, maxBytes) };
  };
}

/** The same for a transport of the Connect protocol, where a stream has another form than a unary call. */
export function connectInParts(client: UniversalClientFn, maxBytes: number): UniversalClientFn {
  return async (request) => {
    const header = new Headers(request.header);
    header.set("content-type", "application/proto");
    const enveloped = Buffer.concat(await all(request.body ?? none(), maxErrorBytes));
    const answer = await client({ ...request, header, body: once(enveloped.subarray(envelopeBytes)) });
    const type = answer.header.get("content-type") ?? "";
    if (answer.status === 200 && type.startsWith("application/proto")) {
      const encoding = answer.header.get("content-encoding") ?? "identity";
      if (encoding !== "identity") throw new ConnectError(`unsupported response encoding "${encoding}"`, Code.Internal);
      if (!saysItsEnd(answer.header)) throw new ConnectError("answer does not say where it ends", Code.DataLoss);
      return asStream(answer, splitMessage(answer.body, maxBytes));
    }
    if (answer.status !== 200 && type.startsWith("application/json")) return asError(answer);
    return answer;
  };
}

/** A body that ends with its connection may have been cut anywhere, and a listing is one as well with less in it. */
function saysItsEnd(header: Headers): boolean {
  return header.has("content-length") || header.has("transfer-encoding");
}

/** Any number of envelopes in place of the one there is. */
async function* splitEnvelope(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  const splitter = createSplitter();
  let head: Uint8Array = new Uint8Array(0);
  /** Bytes of the message that are still to come; undefined: its length is not known yet. */
  let left: number | undefined;
  for await (const chunk of body) {
    let bytes = chunk;
    if (left === undefined) {
      head = Buffer.concat([head, chunk]);
      if (head.length < envelopeBytes) continue;
      left = lengthIn(head, maxBytes);
      bytes = head.subarray(envelopeBytes);
    }
    left -= bytes.length;
    if (left < 0) throw new ConnectError("received more than one message", Code.Unimplemented);
    for (const part of cut(splitter, bytes)) yield encodeEnvelope(0, part);
  }
  if (left === undefined ? head.length > 0 : left > 0) throw new ConnectError("message breaks off", Code.DataLoss);
  if (left !== undefined) yield encodeEnvelope(0, last(splitter));
}

function lengthIn(head: Uint8Array, maxBytes: number): number {
  if (head[0] !== 0) throw new ConnectError("received a message that is compressed", Code.Internal);
  const length = new DataView(head.buffer, head.byteOffset).getUint32(1);
  if (length > maxBytes) throw tooLong(length, maxBytes);
  return length;
}

/** Envelopes for a message that has none. */
async function* splitMessage(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  const splitter = createSplitter();
  let total = 0;
  for await (const bytes of body) {
    total += bytes.length;
    if (total > maxBytes) throw tooLong(total, maxBytes);
    for (const part of cut(splitter, bytes)) yield encodeEnvelope(0, part);
  }
  yield encodeEnvelope(0, last(splitter));
  yield encodeEnvelope(endOfStream, Buffer.from("{}"));
}

/** The error as a stream tells it; the answer as it is when it holds none. */
async function asError(answer: UniversalClientResponse): Promise<UniversalClientResponse> {
  const text = Buffer.concat(await all(answer.body, maxErrorBytes)).toString("utf8");
  let error: unknown;
  try {
    error = JSON.parse(text);
  } catch {
    return answer;
  }
  if (typeof error !== "object" || error === null || !("code" in error)) return answer;
  return asStream(answer, once(encodeEnvelope(endOfStream, Buffer.from(JSON.stringify({ error })))));
}

function asStream(answer: UniversalClientResponse, body: AsyncIterable<Uint8Array>): UniversalClientResponse {
  const header = new Headers(answer.header);
  header.set("content-type", "application/connect+proto");
  return { ...answer, status: 200, header, body };
}

function createSplitter(): FieldSplitter {
  return createFieldSplitter({ partBytes, maxFieldBytes, shortened: listFields.entries });
}

function cut(splitter: FieldSplitter, bytes: Uint8Array): readonly Uint8Array[] {
  return orNonsense(() => splitter.push(bytes));
}

function last(splitter: FieldSplitter): Uint8Array {
  return orNonsense(() => splitter.rest());
}

function orNonsense<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new ConnectError(`message makes no sense: ${(error as RangeError).message}`, Code.InvalidArgument);
  }
}

function tooLong(length: number, maxBytes: number): ConnectError {
  return new ConnectError(`message size ${length} is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
}

async function all(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<readonly Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of body) {
    total += chunk.length;
    if (total > maxBytes) throw tooLong(total, maxBytes);
    chunks.push(chunk);
  }
  return chunks;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* none(): AsyncGenerator<Uint8Array> {}
