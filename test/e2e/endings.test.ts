// Every way a request can end × every provider × stream or not × every edge: what the caller is told, what is counted, and the
// one event. What must be so stands in the rules.

import { createHash } from "node:crypto";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { LimitsService } from "../../gen/codygateway/v1/limits_pb.js";
import type { DemoCall } from "../../src/demo/call.js";
import { estimateTokens } from "../../src/models/tokens.js";
import { providers } from "../../src/providers/index.js";
import type { UsageEvent } from "../../src/usage/event.js";
import { type Line, lines, type Told } from "../endings/edges.js";
import { type Kind, type Rule, rules } from "../endings/rules.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";

/** One request: a way to ask, and a way to end. */
interface Cell {
  readonly id: string;
  readonly line: Line;
  readonly rule: Rule;
  readonly kind: Kind;
}

/** What the caller allows where it sets a deadline; the upstream is allowed more silence than that. */
const deadlineMs = 100_000;
const waitedMs = 130_000;

const cells: readonly Cell[] = lines()
  .flatMap((line) =>
    rules
      .filter(({ ofApi }) => ofApi || !line.minor)
      .flatMap((rule) => rule.kinds.map((kind) => ({ line, rule, kind }))),
  )
  .map((cell, index) => ({ ...cell, id: `cell-${index}` }));

const tokenOf = (id: string): string => `token-of-the-actor-of-${id}`;

let gw: TestGateway;
/** Its upstreams are not there. */
let lonely: TestGateway;
const limits = new Map<TestGateway, Client<typeof LimitsService>>();
/** What became of each. */
let found: ReadonlyMap<Cell, object>;
const calls = new Map<string, DemoCall>();
const waiting = new Map<string, ((call: DemoCall) => void)[]>();

beforeAll(async () => {
  const actorsOf = (some: readonly Cell[]) =>
    some.map(({ id }) => ({
      id,
      tokens: [{ sha256: createHash("sha256").update(tokenOf(id)).digest("hex") }],
      limits: { chat_completions: [{ limit: 5, per: "24h" }, { inFlight: 2 }] },
      models: { chat_completions: ["*"] },
    }));
  const isRefused = ({ rule }: Cell): boolean => rule.upstream === "refused";
  const local = (baseUrl: string) => ({
    providers: [
      { name: "local", kind: "openai-compatible", baseUrl, keys: [{ ref: "env:OPENAI_API_KEY" }], models: ["demo-*"] },
    ],
  });
  gw = await testGateway({
    actors: actorsOf(cells.filter((cell) => !isRefused(cell))),
    file: (upstream) => local(`${upstream.url}/v1`),
    env: { CODY_GATEWAY_FIREWORKS_ALLOWED_MODELS: "demo-*" },
  });
  const nowhere = "http://127.0.0.1:9";
  lonely = await testGateway({
    actors: actorsOf(cells.filter(isRefused)),
    file: () => local(`${nowhere}/v1`),
    env: {
      CODY_GATEWAY_ANTHROPIC_BASE_URL: nowhere,
      CODY_GATEWAY_OPENAI_BASE_URL: `${nowhere}/v1`,
      CODY_GATEWAY_GOOGLE_BASE_URL: nowhere,
      CODY_GATEWAY_FIREWORKS_BASE_URL: nowhere,
      CODY_GATEWAY_FIREWORKS_ALLOWED_MODELS: "demo-*",
    },
  });
  gw.upstream.script((call) => {
    const [id = ""] = /cell-\d+(?=\.)/.exec(call.body.toString()) ?? [];
    calls.set(id, call);
    for (const tell of waiting.get(id) ?? []) tell(call);
    return undefined;
  }, Number.POSITIVE_INFINITY);
  found = await tryAll();
});
afterAll(async () => {
  vi.restoreAllMocks();
  await gw[Symbol.asyncDispose]();
  await lonely[Symbol.asyncDispose]();
});

function callOf(id: string): Promise<DemoCall> {
  const known = calls.get(id);
  if (known) return Promise.resolve(known);
  return new Promise((resolve) => waiting.set(id, [...(waiting.get(id) ?? []), resolve]));
}

function limitsOf(to: TestGateway): Client<typeof LimitsService> {
  const client =
    limits.get(to) ?? createClient(LimitsService, createConnectTransport({ baseUrl: to.url, httpVersion: "1.1" }));
  limits.set(to, client);
  return client;
}

/** Nothing happens any more in these until their time has run out. */
function waits({ rule }: Cell): boolean {
  return rule.caller === "deadline" || rule.ending.startsWith("stalled");
}

async function tryAll(): Promise<ReadonlyMap<Cell, object>> {
  const results = new Map<Cell, object>();
  const slow = cells.filter(waits);
  // Once all of them are where they stay, time passes for all at once.
  const stuck = slow.map((cell) => {
    let reached = (): void => {};
    const until = new Promise<void>((resolve) => {
      reached = resolve;
    });
    return { cell, until, result: seen(cell, reached) };
  });
  await Promise.all(stuck.map(({ until }) => until));
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + waitedMs);
  for (const { cell, result } of stuck) results.set(cell, await result);
  const left = cells.filter((cell) => !waits(cell));
  const work = async (): Promise<void> => {
    for (let cell = left.shift(); cell; cell = left.shift()) results.set(cell, await seen(cell, () => {}));
  };
  await Promise.all(Array.from({ length: 32 }, work));
  return results;
}

async function ask({ id, line, rule, kind }: Cell, reached: () => void): Promise<Told> {
  const leaving = new AbortController();
  if (rule.caller === "leaves before") void callOf(id).then(() => leaving.abort());
  // Of an answer that has not begun, its caller sees nothing.
  if (!rule.http.startsWith("200")) void callOf(id).then(reached);
  return line.ask({
    url: rule.upstream === "refused" ? lonely.url : gw.url,
    token: tokenOf(id),
    id,
    prompt: `This is ${id}. ${rule.upstream === "refused" ? "" : rule.upstream}`,
    kind,
    deadlineMs: rule.caller === "deadline" ? deadlineMs : undefined,
    signal: leaving.signal,
    onBegun() {
      reached();
      if (rule.caller === "leaves inside") leaving.abort();
    },
  });
}

/** What became of a request, as far as the rules speak of it. */
async function seen(cell: Cell, reached: () => void): Promise<object> {
  const { id, line, rule } = cell;
  const to = rule.upstream === "refused" ? lonely : gw;
  const told = await ask(cell, reached);
  const event = await to.event((each) => each.actor.id === id);
  if (rule.aborts) await (await callOf(id)).aborted;
  const { features } = await limitsOf(to).getLimits({}, { headers: { authorization: `Bearer ${tokenOf(id)}` } });
  return {
    told: told.told,
    retryAfter: told.retryAfter,
    shouldRetry: told.shouldRetry,
    ...(line.edge === "rpc" && { reason: told.reason }),
    leaks: /127\.0\.0\.1|ECONN|upstream-key/.test(told.text),
    event: {
      edge: event.edge,
      provider: event.provider,
      stream: event.stream,
      outcome: event.outcome,
      reason: event.reason,
      charged: event.charged,
    },
    ...tokensOf(cell, event),
    used: Number(features[0]?.rateLimit?.used),
    inFlight: features[0]?.inFlight,
  };
}

/** Which tokens the event tells, and whether they are marked as counted here; compared with what the upstream did send. */
function tokensOf({ id, line, rule }: Cell, { usage }: UsageEvent): { tokens: string; estimated: boolean } {
  const call = calls.get(id);
  const truth = call?.usage;
  const { inputTokens, outputTokens, estimated = false } = usage;
  const all = inputTokens === truth?.inputTokens && outputTokens === truth?.outputTokens;
  if (Object.keys(usage).length === 0) return { tokens: "none", estimated };
  if (!estimated && all) return { tokens: "all", estimated };
  const some = inputTokens === truth?.inputTokens && (outputTokens ?? 0) < (truth?.outputTokens ?? 0);
  if (!estimated) return { tokens: some ? "so far" : "wrong", estimated };
  const told = line.tokens.soFar !== "nothing";
  const input = told ? inputTokens === truth?.inputTokens : isNear(inputTokens, truth?.inputTokens);
  const output = call !== undefined && isCountOf(outputTokens, call, rule);
  return { tokens: input && output ? "so far" : `wrong: ${JSON.stringify(usage)}`, estimated };
}

/** The upstream takes four characters for a token. */
function isNear(tokens = 0, truth = 0): boolean {
  return tokens >= truth / 2 && tokens <= truth * 2 + 4;
}

/** Whether so many tokens are those of what was sent: by the vocabulary or, where that takes too long, by its length. */
function isCountOf(tokens: number | undefined, { said, usage }: DemoCall, rule: Rule): boolean {
  const sent = said.join("");
  // Of a whole answer, the upstream does not tell what it said.
  if (rule.ending === "complete") return isNear(tokens, usage?.outputTokens);
  const least = rule.seen === "a part" ? 0 : sent.length;
  const parts = Array.from({ length: sent.length - least + 1 }, (_, index) => sent.slice(0, least + index));
  return parts.some((part) => tokens === countTokens(part) || tokens === estimateTokens(part));
}

function expected({ line, rule, kind }: Cell): object {
  const rpc = line.edge === "rpc";
  const { provider } = line;
  const outcome = (rpc && rule.rpcOutcome) || rule.outcome;
  const charged = (rpc ? rule.rpcCharged : undefined) ?? rule.charged;
  const failed = outcome === "failed";
  const retryAfter =
    rule.retryAfter === "kind" ? providers.find((each) => each.kind === provider)?.retryAfterSeconds : rule.retryAfter;
  const tokens = outcome === "completed" ? "all" : rule.tokens;
  const estimated =
    tokens === "all" ? !line.tokens.all : tokens === "so far" && line.tokens.soFar !== "input and a part of the output";
  return {
    told: rpc ? rule.rpc : rule.http,
    retryAfter,
    shouldRetry: undefined,
    ...(rpc && { reason: failed ? rule.reason : undefined }),
    leaks: false,
    event: {
      edge: line.edge,
      provider,
      stream: kind === "stream",
      outcome,
      reason: failed ? rule.reason : undefined,
      charged,
    },
    tokens: tokens === "all" && !line.tokens.all ? "so far" : tokens,
    estimated,
    used: charged ? 1 : 0,
    inFlight: 0,
  };
}

describe("every ending", () => {
  it.each(lines().map(({ name }) => name))("of %s", (name) => {
    const own = cells.filter(({ line }) => line.name === name);
    const table = (tell: (cell: Cell) => object | undefined) =>
      Object.fromEntries(own.map((cell) => [`${cell.kind}: ${cell.rule.ending}`, tell(cell)]));
    expect(table((cell) => found.get(cell))).toEqual(table(expected));
  });

  it("has one event", () => {
    const ids = [...gw.events, ...lonely.events].map(({ actor }) => actor.id);
    expect(ids.toSorted()).toEqual(cells.map(({ id }) => id).toSorted());
  });
});
