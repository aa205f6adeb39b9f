import type { Socket } from "node:net";

/** What is looked at: a client of ioredis. */
interface Client {
  /** Absent before the first connection. */
  readonly stream: Pick<Socket, "bytesRead" | "destroy"> | undefined;
  readonly commandQueue: { readonly length: number };
  readonly status: string;
}

/** Looks in a row that find a connection silent: together a second. */
const looks = 5;
const lookMs = 200;

/**
 * Ends a connection that owes answers and has said nothing for a second, so that a new one is made. Counts looks instead of
 * time: between two of them what came in is read, however busy the process is. Until the client has ended, or `stop` is called:
 * one that is closed between two attempts to connect never tells that it has ended.
 */
export function watchSilence(client: Client): { stop(): void } {
  let watched: Client["stream"];
  let bytes = 0;
  let silent = 0;
  const timer = setInterval(() => {
    const { stream, commandQueue, status } = client;
    if (status === "end") return clearInterval(timer);
    const heard = stream !== watched || stream?.bytesRead !== bytes;
    silent = heard || commandQueue.length === 0 ? 0 : silent + 1;
    watched = stream;
    bytes = stream?.bytesRead ?? 0;
    if (silent < looks) return;
    silent = 0;
    stream?.destroy(new Error("Redis owes answers and is silent"));
  }, lookMs).unref();
  return { stop: () => clearInterval(timer) };
}
