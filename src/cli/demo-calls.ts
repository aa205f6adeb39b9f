// What the demo prints to paste: the same request with curl, the vendors' SDKs and the typed client.

interface Style {
  bold(text: string): string;
  dim(text: string): string;
}

export function pasteableCalls(parts: {
  readonly url: string;
  readonly actors: readonly { readonly token: string; readonly shows: string }[];
  /** Of an Enterprise subscription. */
  readonly subscriptionToken: string;
  /** What it can find in public. */
  readonly snippet: string;
  readonly operatorToken: string;
  readonly style: Style;
}): string {
  const { url, actors, subscriptionToken, snippet, operatorToken, style } = parts;
  const [first] = actors;
  const token = first?.token ?? "";
  const width = Math.max(...actors.map((actor) => actor.token.length));
  const sections: [string, string][] = [
    ["curl, OpenAI's API", openaiCurl(url, token)],
    ["curl, the typed API as JSON", connectCurl(url, token)],
    ["the openai SDK", openaiSdk(url, token)],
    ["the Anthropic SDK", anthropicSdk(url, token)],
    ["the typed client", typedClient(url, token)],
    ["embeddings", embeddingsCurl(url, token)],
    ["where code stands in public", attributionCurl(url, subscriptionToken, snippet)],
    ["what is left", `curl -s ${url}/v1/limits -H 'authorization: Bearer ${token}'`],
    ["administration", administration(url, operatorToken)],
  ];
  return [
    style.bold("Tokens to try"),
    ...actors.map((actor) => `  ${actor.token.padEnd(width)}  ${style.dim(actor.shows)}`),
    "",
    ...sections.flatMap(([title, text]) => [style.bold(`# ${title}`), text, ""]),
    style.dim("The upstream does as it is told: try a prompt with [[status=529 retry-after=7]], [[die after=2]] or"),
    style.dim("[[delay=2000]]. Ctrl-C ends the demo."),
  ].join("\n");
}

const chat = { messages: [{ role: "user", content: "Say hello" }] };

function administration(url: string, token: string): string {
  return `export CODY_GATEWAY_URL=${url} CODY_GATEWAY_ADMIN_TOKEN=${token}
node dist/bin/cody-gateway.js admin sources
node dist/bin/cody-gateway.js admin sync`;
}

function openaiCurl(url: string, token: string): string {
  return `curl -N ${url}/openai/v1/chat/completions \\
  -H 'authorization: Bearer ${token}' -H 'content-type: application/json' \\
  -d '${JSON.stringify({ model: "gpt-4o", stream: true, ...chat })}'`;
}

function connectCurl(url: string, token: string): string {
  const request = {
    model: "anthropic/claude-sonnet-4-5",
    chat: { messages: [{ role: "ROLE_USER", parts: [{ text: "Say hello" }] }] },
  };
  return `curl ${url}/codygateway.v1.CompletionsService/Complete \\
  -H 'authorization: Bearer ${token}' -H 'content-type: application/json' -H 'connect-protocol-version: 1' \\
  -d '${JSON.stringify(request)}'`;
}

function embeddingsCurl(url: string, token: string): string {
  const request = { model: "text-embedding-3-small", input: ["Say hello", "Say goodbye"], dimensions: 4 };
  return `curl ${url}/openai/v1/embeddings \\
  -H 'authorization: Bearer ${token}' -H 'content-type: application/json' \\
  -d '${JSON.stringify(request)}'`;
}

function attributionCurl(url: string, token: string, snippet: string): string {
  return `curl ${url}/v1/attribution -H 'authorization: Bearer ${token}' \\
  -d '${JSON.stringify({ snippet, limit: 4 })}'`;
}

function openaiSdk(url: string, token: string): string {
  return `import OpenAI from "openai";
const openai = new OpenAI({ baseURL: "${url}/openai/v1", apiKey: "${token}" });
const answer = await openai.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "Say hello" }] });
console.log(answer.choices[0].message.content);`;
}

function anthropicSdk(url: string, token: string): string {
  return `import Anthropic from "@anthropic-ai/sdk";
const anthropic = new Anthropic({ baseURL: "${url}/anthropic", apiKey: "${token}" });
const message = await anthropic.messages.create({ model: "claude-sonnet-4-5", max_tokens: 100, messages: [{ role: "user", content: "Say hello" }] });
console.log(message.content);`;
}

function typedClient(url: string, token: string): string {
  return `import { createGatewayClient } from "cody-gateway/client";
const { completions } = createGatewayClient({ baseUrl: "${url}", token: "${token}" });
const parts = [{ kind: { case: "text", value: "Say hello" } }];
const completion = { model: "openai/gpt-4o", input: { case: "chat", value: { messages: [{ role: 1, parts }] } } };
for await (const { event } of completions.streamComplete({ completion }))
  if (event.case === "textDelta") process.stdout.write(event.value.text);`;
}
