// An upstream that speaks like the vendors do and can be told how to behave, for the demo, the tests and the benchmarks.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { askedBehaviour, type Behaviour } from "./behaviour.js";
import { type CallParts, createCall, type DemoCall } from "./call.js";
import { BadRequestError, type VendorName } from "./dialects/dialect.js";
import { createGate } from "./gate.js";
import { createJournal } from "./journal.js";
import { answerHeaders, playAnswer, playInstead, playWhole } from "./perform.js";
import { lookedUp, type Read, readRequest } from "./read-request.js";
import { findRoute, type Route, vendorOf } from "./routes.js";

/** How to set up a demo upstream. */
export interface DemoUpstreamOptions {
  /** Keys that are refused with 401; every other key is good. */
  readonly badKeys?: readonly string[];
  /** Whether a vendor has a model. Default: those it lists, the families they belong to, and `demo-…`. */
  readonly knows?: (vendor: VendorName, model: string) => boolean;
  /** Calls kept in the journal. Default 10,000. */
  readonly keepCalls?: number;
  /** What every answer does, unless the model, the prompt or the script asks for more. */
  readonly behaviour?: Behaviour;
}

/** How the next call is to be answered, or who says so when it comes. Undefined: as usual. */
export type Script = Behaviour | ((call: DemoCall) => Behaviour | undefined | Promise<Behaviour | undefined>);

/** A scriptable stand-in for Anthropic, OpenAI, Google and Fireworks, all on one port. */
export interface DemoUpstream extends AsyncDisposable {
  /** Begins to listen and resolves to `url`. Port 0 takes a free one. */
  listen(port?: number, host?: string): Promise<string>;
  /** `http://127.0.0.1:4711` */
  readonly url: string;
  /** What each vendor's own SDK takes as base URL, and the gateway as `CODY_GATEWAY_…_BASE_URL`. */
  readonly baseUrls: Readonly<Record<VendorName, string>>;
  /** What it received, oldest first. */
  readonly calls: readonly DemoCall[];
  /** Answers the next `times` calls like this. Scripts are used up in the order given. Wins over directives. */
  script(script: Script, times?: number): void;
  /** Keeps all calls from now on at the gate, until `release`, or until one is answered by hand. */
  holdAll(): void;
  /** Opens the gate, for those that wait and those to come. */
  release(): void;
  /** The next call that was not handed out yet; waits for it, 5 s at most. */
  nextCall(timeoutMs?: number): Promise<DemoCall>;
  /** The first call for which this holds, now or within 5 s. */
  waitFor(predicate: (call: DemoCall) => boolean, timeoutMs?: number): Promise<DemoCall>;
  /** Calls that passed authentication, of this end user or of all. */
  count(endUser?: string): number;
  inFlight(endUser?: string): number;
  /** The most calls that were in flight at the same time, of this end user or of all. */
  highWater(endUser?: string): number;
  /** Forgets calls, counts and scripts, and opens the gate. */
  reset(): void;
  /** Stops listening and ends all connections. */
  close(): Promise<void>;
}

/** Creates a demo upstream; `listen` starts it. */
export function createDemoUpstream(options: DemoUpstreamOptions = {}): DemoUpstream {
  const badKeys = new Set(options.badKeys);
  const journal = createJournal(options.keepCalls ?? 10_000);
  let scripts: { script: Script; left: number }[] = [];
  const gate = createGate();
  let numbers = 0;
  let url = "";

  const server = createServer({ keepAliveTimeout: 120_000, noDelay: true }, (req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    // A caller that leaves before its request is whole was never a call.
    req.on("end", () => void receive(req, res, Buffer.concat(chunks)));
  });

  async function receive(req: IncomingMessage, res: ServerResponse, body: Buffer): Promise<void> {
    const parts = createCall({ number: ++numbers, req, res, body }, () => journal.changed());
    journal.add(parts.call);
    try {
      await answer(parts, req, body);
    } catch (error) {
      if (!res.headersSent) res.writeHead(500, { "content-type": "text/plain" });
      res.end(`the demo upstream failed: ${String(error)}`);
    }
  }

  async function answer(parts: CallParts, req: IncomingMessage, body: Buffer): Promise<void> {
    const target = new URL(req.url ?? "/", "http://upstream");
    const route = findRoute(req.method ?? "", target, req.headers);
    const vendor = route?.vendor ?? vendorOf(target, req.headers);
    const key = vendor.key(req.headers, target);
    parts.set({ vendor: vendor.name, key });
    const refuse = async (status: number, message?: string): Promise<void> => {
      journal.arrived(parts.call);
      const refusal = { status, ...(message !== undefined && { message }) };
      await playInstead(parts.output({}), vendor, requestId(parts), refusal);
    };
    if (!route) return refuse(404, `Not found: ${req.method} ${target.pathname}`);
    if (!route.open && (key === undefined || key === "" || badKeys.has(key))) return refuse(401);
    let read: Read;
    try {
      read = readRequest(route, body);
    } catch (error) {
      if (error instanceof BadRequestError) return refuse(400, error.message);
      throw error;
    }
    parts.set(read.known);
    journal.track(read.known.endUser, parts.call);
    const { model } = read.known;
    if (model !== undefined && !route.open && !knows(route, model)) return refuse(404, `model: ${model}`);
    await perform(parts, route, read);
  }

  function knows({ vendor }: Route, model: string): boolean {
    if (options.knows) return options.knows(vendor.name, model);
    return model.startsWith("demo-") || vendor.models.includes(model) || vendor.knows(model);
  }

  async function perform(parts: CallParts, route: Route, read: Read): Promise<void> {
    const asked = { ...options.behaviour, ...askedBehaviour(read.known.model ?? "", read.prompt) };
    let behaviour: Behaviour = { ...asked, ...(await nextScript(parts.call)) };
    const { operation, vendor } = route;
    let generation = read.generate?.(behaviour);
    if (generation) parts.set(generation.known);
    if (gate.closed || behaviour.hold) {
      const leaving = gate.wait(parts);
      journal.arrived(parts.call);
      const decided = await leaving;
      if (decided && Object.keys(decided).length > 0) {
        behaviour = { ...behaviour, ...decided };
        generation = read.generate?.(behaviour);
        if (generation) parts.set(generation.known);
      }
    } else journal.arrived(parts.call);
    if (parts.manual || parts.call.state === "aborted") return;

    const out = parts.output(behaviour);
    const id = requestId(parts);
    if (await playInstead(out, vendor, id, behaviour)) return;
    if (generation && operation.kind === "generation") {
      const { ask, answer: said, frames } = generation.known;
      const performance = {
        vendor,
        requestId: id,
        ask,
        answer: said,
        frames,
        operation,
        jsonArray: route.jsonArray ?? false,
      };
      await playAnswer(out, { ...performance, onDelta: () => parts.sent() }, behaviour);
    } else await playWhole(out, answerHeaders(vendor, id, behaviour), behaviour, lookedUp(read.body, behaviour));
  }

  async function nextScript(call: DemoCall): Promise<Behaviour | undefined> {
    const first = scripts[0];
    if (!first) return undefined;
    if (--first.left <= 0) scripts.shift();
    return typeof first.script === "function" ? first.script(call) : first.script;
  }

  const close = async (): Promise<void> => {
    if (!server.listening) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  };

  return {
    async listen(port = 0, host = "127.0.0.1") {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, resolve);
      });
      url = `http://${host}:${(server.address() as AddressInfo).port}`;
      return url;
    },
    get url() {
      return url;
    },
    get baseUrls() {
      return { anthropic: url, openai: `${url}/v1`, google: url, fireworks: `${url}/inference/v1` };
    },
    get calls() {
      return journal.calls;
    },
    script: (script, times = 1) => void scripts.push({ script, left: times }),
    holdAll: gate.close,
    release: gate.open,
    nextCall: (timeoutMs = 30_000) => journal.next(timeoutMs),
    waitFor: (predicate, timeoutMs = 30_000) => journal.find(predicate, timeoutMs),
    count: (endUser) => journal.count(endUser),
    inFlight: (endUser) => journal.inFlight(endUser),
    highWater: (endUser) => journal.highWater(endUser),
    reset() {
      scripts = [];
      gate.open();
      journal.clear();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function requestId({ call }: CallParts): string {
  return `req_demo${call.number}`;
}
