import { type AddressInfo, createServer, type Socket } from "node:net";

/** A listener that treats connections as it is told, for upstreams that speak no HTTP. */
export interface RawUpstream extends AsyncDisposable {
  readonly port: number;
  /** Connections made to it so far. */
  readonly connections: number;
  /** Bytes it was sent so far. */
  readonly received: number;
}

/** What to do with a connection that is made, and with the first bytes that come on it. */
export interface RawBehaviour {
  readonly onConnection?: (socket: Socket) => void;
  readonly onData?: (socket: Socket) => void;
}

export async function rawUpstream({ onConnection, onData }: RawBehaviour = {}): Promise<RawUpstream> {
  const sockets = new Set<Socket>();
  let connections = 0;
  let received = 0;
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.once("data", () => onData?.(socket));
    socket.on("data", ({ length }: Buffer) => {
      received += length;
    });
    onConnection?.(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    get received() {
      return received;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
