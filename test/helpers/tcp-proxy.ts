import { connect, createServer, type Server, type Socket } from "node:net";

/** What a proxy does with bytes: pass them, swallow the answers, or swallow everything. */
export type Traffic = "both" | "requests" | "none";

/** A TCP proxy on loopback that can misbehave as networks do. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** `host:port`. */
  readonly endpoint: string;
  /** Connections made to it so far. */
  readonly accepted: number;
  /** For the connections there are and, unless told otherwise, for new ones. */
  pass(traffic: Traffic, options?: { readonly newToo?: boolean }): void;
  /** Holds back for so long what comes from now on, in both directions. */
  delay(ms: number): void;
  /** Where new connections lead. */
  leadTo(port: number): void;
  /** Breaks all connections with RST. */
  reset(): void;
  /** Listens no more; the connections there are stay. */
  leave(): void;
  /** Refuses connections, and breaks those there are. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  traffic: Traffic;
}

/** `onAnswer` sees all that comes back from the target. */
export async function startTcpProxy(targetPort: number, onAnswer?: (bytes: Buffer) => void): Promise<TcpProxy> {
  const links = new Set<Link>();
  let target = targetPort;
  let delayMs = 0;
  let forNew: Traffic = "both";
  let accepted = 0;
  let listener: Server | undefined;
  let port = 0;

  function link(client: Socket): void {
    accepted++;
    const server = connect(target, "127.0.0.1");
    const made: Link = { client, server, traffic: forNew };
    links.add(made);
    const [toServer, toClient] = [writing(server), writing(client)];
    client.on("data", (bytes) => made.traffic !== "none" && toServer(bytes));
    server.on("data", (bytes: Buffer) => {
      onAnswer?.(bytes);
      if (made.traffic === "both") toClient(bytes);
    });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        links.delete(made);
        other.destroy();
      });
    }
  }

  /** Writes in order, after the delay. */
  function writing(to: Socket): (bytes: Buffer) => void {
    const waiting: Buffer[] = [];
    return (bytes) => {
      if (delayMs === 0 && waiting.length === 0) {
        to.write(bytes);
        return;
      }
      waiting.push(bytes);
      setTimeout(() => to.write(waiting.shift() as Buffer), delayMs);
    };
  }

  function reset(): void {
    for (const { client, server } of links) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  async function accept(): Promise<void> {
    const made = createServer(link);
    listener = made;
    await new Promise<void>((resolve, reject) => {
      made.once("error", reject).listen(port, "127.0.0.1", resolve);
    });
    const address = made.address();
    if (address !== null && typeof address === "object") port = address.port;
  }

  /** Resolves when all connections are over. */
  function close(): Promise<void> {
    const closing = listener;
    listener = undefined;
    return new Promise((resolve) => (closing === undefined ? resolve() : closing.close(() => resolve())));
  }

  async function refuse(): Promise<void> {
    const closed = close();
    reset();
    await closed;
  }

  await accept();
  return {
    port,
    endpoint: `127.0.0.1:${port}`,
    get accepted() {
      return accepted;
    },
    pass(traffic, { newToo = true } = {}) {
      for (const each of links) each.traffic = traffic;
      if (newToo) forNew = traffic;
    },
    delay(ms) {
      delayMs = ms;
    },
    leadTo(next) {
      target = next;
    },
    reset,
    leave: () => void close(),
    refuse,
    accept,
    [Symbol.asyncDispose]: refuse,
  };
}
