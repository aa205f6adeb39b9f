// A process that follows a store of actors on Redis and does what it is told. Started by `actor-processes.ts`.

import { createDirectory } from "../../src/actors/directory.js";
import { actorRecord } from "../../src/actors/records.js";
import type { Lease } from "../../src/actors/store.js";
import { makeActor } from "./make-actor.js";
import { openActorStore } from "./redis-actors.js";

export interface WorkerSettings {
  readonly endpoint: string;
  readonly prefix: string;
  /** How far off this machine's clock is. */
  readonly clockShiftMs: number;
}

/** What a worker may be told to do; each order is answered by a report. */
export type Order =
  /** Reports once the token is known, or is not. */
  | { readonly kind: "await"; readonly tokenHash: string; readonly known: boolean }
  | { readonly kind: "acquire"; readonly lease: string; readonly ttlMs: number }
  /** Writes an actor with one token, with the lease it acquired last. */
  | { readonly kind: "write"; readonly id: string; readonly tokenHash: string }
  | { readonly kind: "count" };

/** `kind` of the order and what came of it; `ready` once it follows. */
export interface Report {
  readonly kind: Order["kind"] | "ready";
  readonly result: string;
}

const { endpoint, prefix, clockShiftMs } = JSON.parse(process.argv[2] ?? "{}") as WorkerSettings;
const wall = Date.now;
Date.now = () => wall() + clockShiftMs;

const { store } = await openActorStore(endpoint, { prefix, follows: false });
const directory = createDirectory({ clock: store });
let lease: Lease | undefined;
await store.follow(directory);

function whenKnown(tokenHash: string, known: boolean): Promise<string> {
  return new Promise((resolve) => {
    const check = (): void => {
      if ((directory.byToken(tokenHash) !== undefined) !== known) return;
      stop();
      resolve("done");
    };
    const stop = directory.onChange(check);
    check();
  });
}

async function obey(order: Order): Promise<string> {
  switch (order.kind) {
    case "await":
      return whenKnown(order.tokenHash, order.known);
    case "acquire":
      lease = await store.acquire(order.lease, { ttlMs: order.ttlMs, holder: String(process.pid) });
      return lease === undefined ? "refused" : "acquired";
    case "write": {
      const told = makeActor({ source: "portal", id: order.id });
      return store.write([actorRecord({ told, tokenHashes: [order.tokenHash] })], lease).then(
        () => "written",
        (error: Error) => error.name,
      );
    }
    default:
      return String(directory.count("portal"));
  }
}

function report(kind: Report["kind"], result: string): void {
  process.send?.({ kind, result } satisfies Report);
}

process.on("message", (order: Order) => {
  void obey(order).then((result) => report(order.kind, result));
});
process.on("disconnect", () => process.exit());
report("ready", "");
