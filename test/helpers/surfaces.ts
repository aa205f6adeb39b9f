// Every way to ask for a completion over HTTP: the same question in each provider's words.

/** One API of one provider, on one of the gateway's edges. */
export interface Surface {
  /** What tells it from the others. */
  readonly name: string;
  readonly edge: "sdk" | "sourcegraph";
  readonly provider: string;
  /** Path at the gateway. */
  path(stream: boolean): string;
  /** Path and query at the upstream. */
  upstreamPath(stream: boolean): string;
  /** A question, which may hold directives for the upstream. */
  body(content: string, stream: boolean): string;
}

type Body = (content: string, stream: boolean) => object;

const chat =
  (model: string): Body =>
  (content, stream) => ({
    model,
    max_tokens: 100,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
    messages: [{ role: "user", content }],
  });
const messages: Body = (content, stream) => ({
  model: "claude-sonnet-4-5",
  max_tokens: 100,
  stream,
  messages: [{ role: "user", content }],
});
const complete: Body = (content, stream) => ({
  model: "claude-2.0",
  max_tokens_to_sample: 100,
  stream,
  prompt: `\n\nHuman: ${content}\n\nAssistant:`,
});
const responses: Body = (content, stream) => ({ model: "gpt-5", max_output_tokens: 100, stream, input: content });
const prompt =
  (model: string): Body =>
  (content, stream) => ({
    model,
    max_tokens: 100,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
    prompt: content,
  });
const contents = (content: string) => ({
  contents: [{ role: "user", parts: [{ text: content }] }],
  generationConfig: { maxOutputTokens: 100 },
});

const gemini = "gemini-2.5-flash";
const llama = "accounts/fireworks/models/llama-v3p1-70b-instruct";
const starcoder = "accounts/fireworks/models/starcoder-16b";

function surface(
  edge: Surface["edge"],
  provider: string,
  paths: readonly [gateway: string, upstream: string],
  body: Body,
): Surface {
  const [path, upstreamPath] = paths;
  return {
    name: path,
    edge,
    provider,
    path: () => path,
    upstreamPath: () => upstreamPath,
    body: (content, stream) => JSON.stringify(body(content, stream)),
  };
}

const googlePath = (stream: boolean): string =>
  `/v1beta/models/${gemini}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`;

/** All of them. */
export const surfaces: readonly Surface[] = [
  surface("sdk", "openai", ["/openai/v1/chat/completions", "/v1/chat/completions"], chat("gpt-4o")),
  surface("sdk", "openai", ["/openai/v1/responses", "/v1/responses"], responses),
  surface("sdk", "openai", ["/openai/v1/completions", "/v1/completions"], prompt("gpt-3.5-turbo-instruct")),
  surface("sdk", "anthropic", ["/anthropic/v1/messages", "/v1/messages"], messages),
  {
    name: "/google/v1beta/models",
    edge: "sdk",
    provider: "google",
    path: (stream) => `/google${googlePath(stream)}`,
    upstreamPath: googlePath,
    body: (content) => JSON.stringify(contents(content)),
  },
  surface("sdk", "fireworks", ["/fireworks/v1/chat/completions", "/inference/v1/chat/completions"], chat(llama)),
  surface("sdk", "fireworks", ["/fireworks/v1/completions", "/inference/v1/completions"], prompt(starcoder)),
  surface("sourcegraph", "openai", ["/v1/completions/openai", "/v1/chat/completions"], chat("gpt-4o")),
  surface("sourcegraph", "anthropic", ["/v1/completions/anthropic-messages", "/v1/messages"], messages),
  surface("sourcegraph", "anthropic", ["/v1/completions/anthropic", "/v1/complete"], complete),
  {
    name: "/v1/completions/google",
    edge: "sourcegraph",
    provider: "google",
    path: () => "/v1/completions/google",
    upstreamPath: googlePath,
    body: (content, stream) => JSON.stringify({ model: gemini, stream, ...contents(content) }),
  },
  surface("sourcegraph", "fireworks", ["/v1/completions/fireworks", "/inference/v1/chat/completions"], chat(llama)),
];
