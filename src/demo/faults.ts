// The ways in which a demo back end can fail when told to.

/** A way to fail. */
export type Fault =
  /** Connections are reset before a byte is read, those that are open too. */
  | { readonly kind: "refuse" }
  /** Connections are answered with bytes of no protocol, before any TLS. */
  | { readonly kind: "no-handshake" }
  /** Requests are read and never answered. */
  | { readonly kind: "hang" }
  /** Requests are answered as usual, so much later. */
  | { readonly kind: "slow"; readonly delayMs: number }
  /** Requests get this status, with a page that a load balancer could have made. */
  | { readonly kind: "status"; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Requests get status 200, the right content type and bytes that make no sense. */
  | { readonly kind: "garbage"; readonly bytes?: Uint8Array | string }
  /** Answers break off: status 200, the right content type, some bytes, then a reset. */
  | { readonly kind: "cut"; readonly bytes?: Uint8Array | string };

/** When and how often. */
export interface FaultOptions {
  /** So many requests (or connections) fail, then all is well. Default: until `heal`. */
  readonly times?: number;
  /** Only requests to paths that contain this. */
  readonly path?: string;
}

/** What is to go wrong, in the order in which it was asked for. */
export interface Faults {
  fail(fault: Fault, options?: FaultOptions): void;
  /** All is well from now on. */
  heal(): void;
  /** The fault of a connection that comes now, if any. Counts as one time. */
  ofConnection(): Fault | undefined;
  /** The fault of a request to `path` that comes now, if any. Counts as one time. */
  ofRequest(path: string): Fault | undefined;
}

/** No faults yet. `onFault` is told of each that is asked for. */
export function createFaults(onFault: (fault: Fault) => void = () => {}): Faults {
  let planned: { fault: Fault; left: number; path: string }[] = [];

  function next(matches: (fault: Fault, path: string) => boolean): Fault | undefined {
    const found = planned.find(({ fault, path }) => matches(fault, path));
    if (!found) return undefined;
    found.left--;
    if (found.left <= 0) planned = planned.filter((each) => each !== found);
    return found.fault;
  }

  return {
    fail(fault, { times = Number.POSITIVE_INFINITY, path = "" } = {}) {
      planned.push({ fault, left: times, path });
      onFault(fault);
    },
    heal() {
      planned = [];
    },
    ofConnection: () => next(isOfConnection),
    ofRequest: (asked) => next((fault, path) => !isOfConnection(fault) && asked.includes(path)),
  };
}

function isOfConnection({ kind }: Fault): boolean {
  return kind === "refuse" || kind === "no-handshake";
}
