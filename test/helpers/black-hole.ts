import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Holds a port of loopback that attempts to connect to get no answer from. */
export type BlackHole = AsyncDisposable;

/** Longer than the kernel takes to answer where there is room. */
const answeredMs = 250;

/** A process that listens and then stands still: once its queue is full the kernel drops whoever knocks. */
export async function startBlackHole(port: number): Promise<BlackHole> {
  const program = `require("net").createServer().listen({ port: ${port}, host: "127.0.0.1", backlog: 1 }, () => console.log("listens"))`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const dispose = (): void => void child.kill("SIGKILL");
  process.once("exit", dispose);
  const ended = once(child, "exit");
  const listens = await Promise.race([once(child.stdout, "data"), ended.then(() => undefined)]);
  if (listens === undefined) throw new Error(`nothing could listen on port ${port}`);
  child.kill("SIGSTOP");
  const fillers: Socket[] = [];
  for (let full = false; !full; ) {
    const filler = connect(port, "127.0.0.1");
    filler.on("error", () => undefined);
    fillers.push(filler);
    full = await Promise.race([
      once(filler, "connect").then(() => false),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(true), answeredMs)),
    ]);
  }
  return {
    async [Symbol.asyncDispose]() {
      for (const filler of fillers) filler.destroy();
      process.off("exit", dispose);
      dispose();
      await ended;
    },
  };
}
