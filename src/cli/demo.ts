// `demo`: the gateway with an upstream of its own, a first completion through it, and calls to paste.

import { hash } from "node:crypto";
import { Role, type StreamCompleteResponse_Finished } from "../../gen/codygateway/v1/completions_pb.js";
import { createGatewayClient } from "../client.js";
import { loadConfig } from "../config.js";
import { demoActors, operatorToken, remoteActors, subscriptionToken } from "../demo/actors.js";
import { type DemoBackEnds, startDemoBackEnds } from "../demo/back-ends.js";
import { type DemoSubscription, demoSubscriptions } from "../demo/subscriptions.js";
import { createDemoUpstream, type DemoUpstream } from "../demo/upstream.js";
import { type Gateway, startGateway } from "../gateway.js";
import { CannotListenError } from "../gateway-listen.js";
import { runAdmin } from "./admin.js";
import { readArgs } from "./args.js";
import { pasteableCalls } from "./demo-calls.js";
import { exitCodes } from "./exit-codes.js";
import { hasColor, type Io, line } from "./io.js";
import { untilStopped } from "./lifecycle.js";
import { refuseConfig } from "./problems.js";

const model = "anthropic/claude-sonnet-4-5";
const question = "What does an LLM gateway do?";
/** Code that the demo's Sourcegraph.com knows. */
const snippet = "partition(list, 0, list.length - 1)";
/** Between two pieces of an answer: about as fast as a model writes. */
const everyMs = 30;

/** Starts the demo; `--once` ends it after the first completion. Resolves to the exit code. */
export async function runDemo(args: readonly string[], io: Io): Promise<number> {
  const options = { once: { type: "boolean", default: false } } as const;
  const { values } = readArgs(args, { options, min: 0, max: 0, usage: "cody-gateway demo [--once]" });
  const upstream = createDemoUpstream({ behaviour: { everyMs } });
  const [ends] = await Promise.all([demoBackEnds(), upstream.listen()]);
  try {
    const loaded = demoConfig(io, upstream, ends);
    if ("problems" in loaded) return refuseConfig(io, loaded.problems, loaded.notices);
    const log = io.createLog({ level: "warn", format: "pretty" });
    const events = eventPrinter(io);
    const gateway = await startAnywhere(loaded.config, { log, version: io.version, sinks: [events.sink] }, io);
    await introduce(io, gateway, upstream);
    await firstSync(io, gateway);
    const code = await completions(io, gateway, events.until);
    line(io.stdout);
    if (values.once || code !== exitCodes.done) {
      await gateway.drain({ delayMs: 0, timeoutMs: 1_000 });
      return code;
    }
    const actors = [...demoActors, ...remoteActors];
    const tokens = { actors, subscriptionToken, operatorToken };
    line(io.stdout, pasteableCalls({ url: gateway.url, ...tokens, snippet, style: styleOf(io) }));
    return await untilStopped({ gateway, log, io, onHangup: () => {} });
  } finally {
    await Promise.all([upstream.close(), ends.close()]);
  }
}

/** An Enterprise Portal that takes its time, so that the first sync can be seen, and a Sourcegraph.com. */
async function demoBackEnds(): Promise<DemoBackEnds> {
  const ends = await startDemoBackEnds({ pages: true, maxPageSize: 100 });
  ends.portal.set(demoSubscriptions(400, developmentToo));
  ends.dotcom.set({ id: 42, username: "ada" });
  ends.dotcom.publish("github.com/demo/sorting", `export const quicksort = (list) => ${snippet};`);
  ends.portal.fail({ kind: "slow", delayMs: 150 }, { path: "List", times: 5 });
  return ends;
}

/** Every tenth is Sourcegraph's own, every fifth of the others has a license for development. */
function developmentToo(index: number): Partial<DemoSubscription> {
  if (index % 10 === 0) return { instanceType: "internal" };
  return index % 5 === 0 ? { licenses: [{ tags: ["plan:enterprise-1", "dev"] }] } : {};
}

/** The configuration that an operator would write, with the demo upstream in place of the providers. */
function demoConfig(io: Io, upstream: DemoUpstream, ends: DemoBackEnds): ReturnType<typeof loadConfig> {
  const variable = (index: number): string => `DEMO_TOKEN_${index}`;
  const tokens = Object.fromEntries(demoActors.map(({ token }, index) => [variable(index), token]));
  const actors = demoActors.map(({ entry }, index) => ({ ...entry, tokens: [{ ref: `env:${variable(index)}` }] }));
  const { PORT, CODY_GATEWAY_HOST = "127.0.0.1", CODY_GATEWAY_DRAIN_DELAY = "0s" } = io.env;
  const env = {
    ...(PORT !== undefined && { PORT }),
    CODY_GATEWAY_HOST,
    CODY_GATEWAY_DRAIN_DELAY,
    ...tokens,
    ...ends.env,
    CODY_GATEWAY_ADMIN_TOKENS: `demo:operator:${hash("sha256", operatorToken, "hex")}`,
    CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN: "demo",
    CODY_GATEWAY_ANTHROPIC_BASE_URL: upstream.baseUrls.anthropic,
    CODY_GATEWAY_OPENAI_ACCESS_TOKEN: "demo",
    CODY_GATEWAY_OPENAI_BASE_URL: upstream.baseUrls.openai,
    CODY_GATEWAY_GOOGLE_ACCESS_TOKEN: "demo",
    CODY_GATEWAY_GOOGLE_BASE_URL: upstream.baseUrls.google,
    CODY_GATEWAY_FIREWORKS_ACCESS_TOKEN: "demo",
    CODY_GATEWAY_FIREWORKS_BASE_URL: upstream.baseUrls.fireworks,
    CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_TOKEN: "demo",
    CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_URL: `${upstream.url}/v2/models/st-multi-qa-mpnet-base-dot-v1/infer`,
    CODY_GATEWAY_CONFIG: "demo.json",
  };
  const providers = [{ name: "local", kind: "openai-compatible", baseUrl: upstream.baseUrls.openai, models: ["*"] }];
  return loadConfig(env, () => JSON.stringify({ providers, actors }));
}

/** Starts on the configured port; on any free one when that is taken and nobody asked for it. */
async function startAnywhere(
  config: Parameters<typeof startGateway>[0],
  parts: Parameters<typeof startGateway>[1],
  io: Io,
): Promise<Gateway> {
  try {
    return await startGateway(config, parts);
  } catch (error) {
    const taken = error instanceof CannotListenError && error.code === "EADDRINUSE";
    if (io.env["PORT"] !== undefined || !taken) throw error;
    return startGateway({ ...config, port: 0 }, parts);
  }
}

function styleOf(io: Io): { bold(text: string): string; dim(text: string): string } {
  const wrap = (code: number) => (text: string) =>
    hasColor(io.stdout, io.env) ? `\u001b[${code}m${text}\u001b[0m` : text;
  return { bold: wrap(1), dim: wrap(2) };
}

async function introduce(io: Io, gateway: Gateway, upstream: DemoUpstream): Promise<void> {
  const { bold, dim } = styleOf(io);
  line(io.stdout, bold(`Cody Gateway ${io.version} listens on ${gateway.url}`));
  line(io.stdout, dim(`  its providers are played by a demo upstream on ${upstream.url}; limits are kept in memory`));
  line(io.stdout);
}

/** Shows the first sync of the Enterprise Portal: `cody-gateway admin sync` joins it. */
async function firstSync(io: Io, gateway: Gateway): Promise<void> {
  const { bold } = styleOf(io);
  line(io.stdout, bold("Actors from the demo's Enterprise Portal: cody-gateway admin sync"));
  const env = { ...io.env, CODY_GATEWAY_URL: gateway.url, CODY_GATEWAY_ADMIN_TOKEN: operatorToken };
  await runAdmin(["sync"], { ...io, env });
  line(io.stdout);
}

/** One actor of the configuration and one of the portal, each with its event. Resolves to the exit code. */
async function completions(io: Io, gateway: Gateway, untilEvents: (count: number) => Promise<void>): Promise<number> {
  const callers = [...demoActors.slice(0, 1).map(({ entry, token }) => ({ name: entry.name, token })), ...remoteActors];
  for (const [at, caller] of callers.slice(0, 2).entries()) {
    const code = await complete(io, gateway, caller);
    if (code !== exitCodes.done) return code;
    await untilEvents(at + 1);
  }
  return exitCodes.done;
}

/** Streams one completion through the gateway with the typed client, showing the text as it arrives. */
async function complete(
  io: Io,
  gateway: Gateway,
  actor: { readonly name: string; readonly token: string },
): Promise<number> {
  const { bold, dim } = styleOf(io);
  line(io.stdout, `${bold(actor.name)} asks ${model}: ${question}`);
  const client = createGatewayClient({ baseUrl: gateway.url, token: actor.token });
  const parts = [{ kind: { case: "text" as const, value: question } }];
  const completion = { model, input: { case: "chat" as const, value: { messages: [{ role: Role.USER, parts }] } } };
  let finished: StreamCompleteResponse_Finished | undefined;
  for await (const { event } of client.completions.streamComplete({ completion })) {
    if (event.case === "textDelta") io.stdout.write(event.value.text);
    if (event.case === "finished") finished = event.value;
  }
  line(io.stdout);
  if (!finished) return exitCodes.failed;
  const { usage, rateLimit } = finished;
  line(io.stdout, dim(`  ${usage?.inputTokens} tokens in, ${usage?.outputTokens} out`));
  if (rateLimit) {
    const reset = rateLimit.resetTime ? new Date(Number(rateLimit.resetTime.seconds) * 1000).toISOString() : "never";
    const left = `${rateLimit.remaining} of ${rateLimit.limit} left until ${reset}`;
    line(io.stdout, dim(`  charged to the limit ${rateLimit.name}: ${left}`));
  }
  return exitCodes.done;
}

/** Shows usage events as they are delivered, a line each; `until` resolves once so many were. */
function eventPrinter(io: Io): { readonly sink: Sink; until(count: number): Promise<void> } {
  const { dim } = styleOf(io);
  let delivered = 0;
  let wake = (): void => {};
  const sink: Sink = {
    name: "demo",
    async send(batch) {
      for (const event of batch) line(io.stdout, dim(`  event: ${summary(event)}`));
      delivered += batch.length;
      wake();
    },
  };
  return {
    sink,
    until: (count) =>
      new Promise((resolve) => {
        wake = () => delivered >= count && resolve();
        wake();
      }),
  };
}

type Sink = NonNullable<Parameters<typeof startGateway>[1]["sinks"]>[number];

function summary(event: Parameters<Sink["send"]>[0][number]): string {
  const { outcome, actor, model: used = "-", usage, charged, durationMs } = event;
  const tokens = `${usage.estimated ? "about " : ""}${usage.inputTokens ?? "?"} in, ${usage.outputTokens ?? "?"} out`;
  return [outcome, actor.id, used, tokens, charged ? "charged" : "not charged", `${durationMs.toFixed(0)} ms`].join(
    "  ",
  );
}
