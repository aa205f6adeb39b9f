// One request that the demo upstream received: its journal entry, and the means to answer it by hand.

import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Usage } from "../providers/provider.js";
import type { Answer } from "./answer.js";
import type { Behaviour } from "./behaviour.js";
import type { Frames, VendorName } from "./dialects/dialect.js";
import { createHand, type Hand } from "./hand.js";
import { createOutput, type Output } from "./output.js";
import { type CallState, createProgress } from "./progress.js";

/** One request and what became of it. */
export interface DemoCall extends Omit<Hand, "said"> {
  /** Counts from 1 in the order of arrival. */
  readonly number: number;
  readonly vendor: VendorName | undefined;
  readonly method: string;
  /** With the query, as received. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** The body, parsed; undefined when it is not JSON. */
  readonly json: unknown;
  /** The credential shown. */
  readonly key: string | undefined;
  readonly model: string | undefined;
  readonly stream: boolean;
  /** Whom the request says it is for: `metadata.user_id`, `user`. */
  readonly endUser: string | undefined;
  /** The caller's port: tells connections apart. */
  readonly remotePort: number | undefined;
  readonly state: CallState;
  /** Status of the answer once it began. */
  readonly status: number | undefined;
  /** Deltas sent so far. */
  readonly deltas: number;
  /** What those deltas said, one by one; of an answer that is no stream, nothing. */
  readonly said: readonly string[];
  /** The usage that this answer reports, or would have reported when it did not come that far. */
  readonly usage: Usage | undefined;
  readonly arrivedAt: Date;
  readonly abortedAt: Date | undefined;
  /** Resolves when the caller left before the end. */
  readonly aborted: Promise<void>;
  /** Resolves when nothing more will happen, whichever way it ended. */
  readonly over: Promise<void>;

  /** Answers as usual, or as said here: leaves the gate. */
  answer(behaviour?: Behaviour): void;
}

/** What the upstream itself may change of a call. */
export interface CallParts {
  readonly call: DemoCall;
  readonly output: (behaviour: Behaviour) => Output;
  /** What to do with the call: resolves with a behaviour, or undefined when it is answered by hand. */
  readonly decided: Promise<Behaviour | undefined>;
  /** Puts it at the gate until decided. */
  hold(): void;
  /** Counts a delta. */
  sent(): void;
  /** Whether it is being answered by hand. */
  readonly manual: boolean;
  set(known: Partial<Known>): void;
}

/** What becomes known of a call as it is read. */
export interface Known {
  vendor: VendorName | undefined;
  key: string | undefined;
  model: string | undefined;
  stream: boolean;
  endUser: string | undefined;
  answer: Answer | undefined;
  frames: Frames | undefined;
  usage: Usage | undefined;
}

/** A request whose body is there, and where it is answered. */
export interface ReceivedCall extends Pick<DemoCall, "number" | "body"> {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

/** The call of one request. `onChange` is called whenever its state changes. */
export function createCall({ number, req, res, body }: ReceivedCall, onChange: (call: DemoCall) => void): CallParts {
  const known: Partial<Known> = {};
  const { remotePort } = req.socket;
  const progress = createProgress(res, () => onChange(call));
  let deltas = 0;
  let json: { value: unknown } | undefined;
  let manual = false;
  let output: Output | undefined;

  const out = (behaviour: Behaviour = {}): Output => (output ??= createOutput(res, behaviour, progress.breaks));
  const hand = createHand({
    take() {
      manual = true;
      progress.decide(undefined);
      return out();
    },
    frames: () => known.frames,
    onSaid: () => deltas++,
  });

  const call: DemoCall = {
    number,
    method: req.method ?? "",
    path: req.url ?? "",
    headers: req.headers,
    rawHeaders: req.rawHeaders,
    body,
    remotePort,
    arrivedAt: new Date(),
    aborted: progress.aborted,
    over: progress.over,
    get json() {
      json ??= { value: parse(body) };
      return json.value;
    },
    get vendor() {
      return known.vendor;
    },
    get key() {
      return known.key;
    },
    get model() {
      return known.model;
    },
    get stream() {
      return known.stream ?? false;
    },
    get endUser() {
      return known.endUser;
    },
    get usage() {
      return known.usage;
    },
    get state() {
      return progress.state;
    },
    get status() {
      return res.headersSent ? res.statusCode : undefined;
    },
    get deltas() {
      return deltas;
    },
    get said() {
      if (manual) return hand.said;
      return (known.answer?.pieces ?? []).slice(0, deltas).map((piece) => ("json" in piece ? piece.json : piece.text));
    },
    get abortedAt() {
      return progress.abortedAt;
    },
    answer: (behaviour = {}) => progress.decide(behaviour),
    send: hand.send,
    begin: hand.begin,
    say: hand.say,
    finish: hand.finish,
    fail: hand.fail,
    end: hand.end,
    reset: hand.reset,
  };

  return {
    call,
    decided: progress.decided,
    output: out,
    hold: progress.hold,
    sent() {
      deltas++;
    },
    get manual() {
      return manual;
    },
    set(more) {
      Object.assign(known, more);
    },
  };
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
