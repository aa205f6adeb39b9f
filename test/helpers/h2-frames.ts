// HTTP/2 frames over bare sockets: sends what no client library would.

import { connect, type Socket } from "node:net";

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const type = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** One frame as bytes. */
export function frame(kind: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = kind;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

export const settings = (...pairs: readonly (readonly [id: number, value: number])[]): Buffer => {
  const payload = Buffer.alloc(pairs.length * 6);
  pairs.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return frame(type.settings, 0, 0, payload);
};
export const settingsAck = frame(type.settings, flag.ack, 0);
export const ping = (): Buffer => frame(type.ping, 0, 0, Buffer.alloc(8, 7));
/** The answer to a ping: a frame that was received. */
export const pong = (received: Frame | undefined): Buffer => frame(type.ping, flag.ack, 0, received?.payload);
export const reset = (stream: number, code = 8): Buffer => frame(type.reset, 0, stream, uint32(code));
export const windowUpdate = (stream: number, increment: number): Buffer =>
  frame(type.windowUpdate, 0, stream, uint32(increment));

/** A header block: literals that are never indexed, without Huffman coding. */
export function headerBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0x10]), hpackString(name), hpackString(value)]));
}

/** The fields of a request, with what `changes` says otherwise; undefined leaves a field out. */
export function requestFields(changes: Readonly<Record<string, string | undefined>> = {}): [string, string][] {
  const fields = {
    ":method": "GET",
    ":scheme": "http",
    ":authority": "gateway.test",
    ":path": "/",
    ...changes,
  };
  return Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined);
}

/** A HEADERS frame that opens a stream. */
export function headers(
  stream: number,
  fields: readonly (readonly [string, string])[] = requestFields(),
  flags: number = flag.endStream | flag.endHeaders,
): Buffer {
  return frame(type.headers, flags, stream, headerBlock(fields));
}

export interface FrameConnection {
  readonly socket: Socket;
  readonly frames: readonly Frame[];
  send(...bytes: readonly Buffer[]): void;
  /** The first frame, received already or not, that matches; undefined when the connection ends without. */
  next(matches: (frame: Frame) => boolean): Promise<Frame | undefined>;
  /** Resolves when the peer has ended or reset the connection, with the milliseconds it was open. */
  readonly ended: Promise<number>;
  readonly over: boolean;
  destroy(): void;
}

/** Opens a connection to this machine and sends `first`: by default what a client begins with. */
export async function h2Connect(
  port: number,
  first: readonly Buffer[] = [preface, settings(), settingsAck],
): Promise<FrameConnection> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const openedAt = performance.now();
  const frames: Frame[] = [];
  let pending = Buffer.alloc(0);
  let over = false;
  let wake: (() => void)[] = [];
  const tell = (): void => {
    const waiting = wake;
    wake = [];
    for (const each of waiting) each();
  };
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
      const length = 9 + pending.readUIntBE(0, 3);
      frames.push({
        type: pending[3] as number,
        flags: pending[4] as number,
        stream: pending.readUInt32BE(5) & 0x7fffffff,
        payload: pending.subarray(9, length),
      });
      pending = pending.subarray(length);
    }
    tell();
  });
  const ended = new Promise<number>((resolve) => {
    const end = (): void => {
      over = true;
      tell();
      resolve(performance.now() - openedAt);
    };
    socket.on("end", end);
    socket.on("error", end);
    socket.on("close", end);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  if (first.length > 0) socket.write(Buffer.concat(first));
  return {
    socket,
    frames,
    send: (...bytes) => void (socket.writable && socket.write(Buffer.concat(bytes))),
    async next(matches) {
      for (;;) {
        const found = frames.find(matches);
        if (found || over) return found;
        await new Promise<void>((resolve) => {
          wake.push(resolve);
        });
      }
    },
    ended,
    get over() {
      return over;
    },
    destroy: () => void socket.destroy(),
  };
}

function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([hpackInteger(bytes.length), bytes]);
}

/** A length with a 7-bit prefix. */
function hpackInteger(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
