/** A streamed answer as it comes in. */
export interface OpenStream {
  readonly status: number;
  /** Everything so far. */
  readonly received: string;
  /** Resolves once what was received is so; rejects when the stream ends before. */
  until(matches: (received: string) => boolean): Promise<void>;
  /** How it ended. */
  readonly ended: Promise<"clean" | "broken">;
}

/** Sends a request and reads its answer in the background. Resolves when the answer's head is there. */
export async function openStream(url: string, init: RequestInit): Promise<OpenStream> {
  const answer = await fetch(url, init);
  const chunks: Buffer[] = [];
  const waiting = new Set<() => void>();
  let over = false;
  const read = async (): Promise<"clean" | "broken"> => {
    try {
      for await (const chunk of answer.body ?? []) {
        chunks.push(Buffer.from(chunk as Uint8Array));
        for (const look of waiting) look();
      }
      return "clean";
    } catch {
      return "broken";
    } finally {
      over = true;
      for (const look of waiting) look();
    }
  };
  const stream: OpenStream = {
    status: answer.status,
    get received() {
      return Buffer.concat(chunks).toString("utf8");
    },
    until: (matches) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = matches(stream.received);
          if (!found && !over) return;
          waiting.delete(look);
          if (found) resolve();
          else reject(new Error(`the stream ended before that: ${stream.received}`));
        };
        waiting.add(look);
        look();
      }),
    ended: read(),
  };
  return stream;
}
