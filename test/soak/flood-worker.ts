// A flood of requests, as cheap for who makes it as can be: raw sockets, several requests at a time on each. Started by
// `many-actors.test.ts`, which gets one message with what came of it.

import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

export interface FloodSettings {
  readonly port: number;
  readonly forMs: number;
  readonly sockets: number;
  /** Requests that wait for their answers at any time, on each socket. */
  readonly depth: number;
  readonly ask: keyof typeof asks;
  /** Tokens that are taken in turn; none: random ones, each once. */
  readonly tokens: readonly string[];
}

/** How many answers there were of each status. */
export type FloodResult = Readonly<Record<string, number>>;

const json = "Content-Type: application/json\r\nConnect-Protocol-Version: 1\r\nX-Sourcegraph-Feature: chat_completions";
const chat = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hello" }] });
const typed = JSON.stringify({
  model: "gpt-4o",
  chat: { messages: [{ role: "ROLE_USER", parts: [{ text: "hello" }] }] },
});

/** What is asked for: before and behind the token. */
const asks = {
  limits: ["GET /v1/limits", ""],
  completion: ["POST /v1/completions/openai", `${json}\r\nContent-Length: ${chat.length}\r\n\r\n${chat}`],
  rpc: [
    "POST /codygateway.v1.CompletionsService/Complete",
    `${json}\r\nContent-Length: ${typed.length}\r\n\r\n${typed}`,
  ],
} as const;

const settings = JSON.parse(process.argv[2] ?? "{}") as FloodSettings;
const endsAt = performance.now() + settings.forMs;
const seen: Record<string, number> = {};
let turn = 0;

function token(): string {
  const { tokens } = settings;
  return tokens.length > 0 ? (tokens[turn++ % tokens.length] as string) : `slk_${randomBytes(32).toString("hex")}`;
}

function requests(count: number): string {
  const [line, rest] = asks[settings.ask];
  let text = "";
  for (let at = 0; at < count; at++)
    text += `${line} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${token()}\r\n${rest || "\r\n"}`;
  return text;
}

/** Answers have no line of this form but the first. */
const statusLine = /HTTP\/1\.1 (\d{3}) /g;

function flood(onClosed: () => void): void {
  const socket: Socket = connect(settings.port, "127.0.0.1", () => void socket.write(requests(settings.depth)));
  socket.setEncoding("latin1").setNoDelay(true);
  let rest = "";
  socket.on("data", (data: string) => {
    const text = rest + data;
    let end = 0;
    let answers = 0;
    for (const match of text.matchAll(statusLine)) {
      const status = match[1] as string;
      seen[status] = (seen[status] ?? 0) + 1;
      answers++;
      end = match.index + match[0].length;
    }
    // A line may be cut anywhere.
    rest = text.slice(Math.max(end, text.length - 16));
    if (performance.now() > endsAt) socket.destroy();
    else if (answers > 0) socket.write(requests(answers));
  });
  socket.on("error", () => {});
  socket.on("close", () => (performance.now() < endsAt ? flood(onClosed) : onClosed()));
}

let open = settings.sockets;
for (let at = 0; at < settings.sockets; at++)
  flood(() => {
    if (--open > 0) return;
    process.send?.(seen satisfies FloodResult);
    process.disconnect();
  });
