// The tests on a machine that is never in time: `npm run test:delays` has this loaded into them, and into all processes that they
// start. Now and then what a socket has read, or is to write, comes late, timers fire late, and a process stands still. What goes
// red looked once at what it had to wait for, or relies on an order that nobody promised. `TEST_DELAYS` says how late: by
// default 1, which the whole suite passes; with 3 and more, what has a deadline of 100 ms may rightly be told that it is over.

import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import timers from "node:timers";

const factor = Number(process.env["TEST_DELAYS"] ?? 1);
const setRealTimeout = globalThis.setTimeout;

/** Mostly none, sometimes a short one, seldom one that is longer than people blink. */
function delayMs() {
  const dice = Math.random();
  if (dice < 0.0003) return factor * (50 + 500 * Math.random());
  return dice < 0.1 ? factor * 40 * Math.random() : 0;
}

/**
 * @typedef {(this: Late, ...args: any[]) => any} Method
 * @typedef {object} Parts What sockets have that their types do not tell.
 * @property {any[][] | undefined} [unread] What was read meanwhile, in order.
 * @property {(() => void) | undefined} [unwritten]
 * @property {boolean} connecting
 * @property {boolean} destroyed
 * @property {(size: number) => unknown} read
 * @typedef {Parts} Late
 */

const socket = /** @type {Record<"push" | "destroy" | "_destroy" | "_writeGeneric", Method>} */ (
  /** @type {unknown} */ (net.Socket.prototype)
);
const { push, destroy, _destroy: close, _writeGeneric: write } = socket;

Object.assign(socket, {
  /** @type {Method} */
  push(...chunk) {
    if (this.unread) return this.unread.push(chunk) > 0;
    const ms = delayMs();
    if (ms === 0) return push.apply(this, chunk);
    this.unread = [chunk];
    setRealTimeout(() => readAll(this), ms);
    return true;
  },

  /**
   * What came before a connection broke is read before its error is told.
   * @type {Method}
   */
  destroy(error, ...more) {
    if (!error?.code || !this.unread || this.destroyed) return destroy.call(this, error, ...more);
    readAll(this);
    setImmediate(() => destroy.call(this, error, ...more));
    return this;
  },

  /** @type {Method} */
  _writeGeneric(...args) {
    const ms = this.connecting ? 0 : delayMs();
    if (ms === 0) return write.apply(this, args);
    this.unwritten = () => {
      this.unwritten = undefined;
      write.apply(this, args);
    };
    setRealTimeout(() => this.unwritten?.(), ms);
    return undefined;
  },

  /**
   * What was written before is sent before the end.
   * @type {Method}
   */
  _destroy(...args) {
    this.unwritten?.();
    return close.apply(this, args);
  },
});

/** @param {Late} late */
function readAll(late) {
  const chunks = late.unread ?? [];
  late.unread = undefined;
  for (const chunk of chunks) {
    if (late.destroyed) return;
    push.apply(late, chunk);
    // Node does so where it has read the end.
    if (chunk[0] === null) late.read(0);
  }
}

/** @type {(callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => NodeJS.Timeout} */
const setLateTimeout = (callback, ms = 1, ...args) => setRealTimeout(callback, ms + delayMs(), ...args);
Object.defineProperties(setLateTimeout, Object.getOwnPropertyDescriptors(setRealTimeout));
globalThis.setTimeout = /** @type {typeof setTimeout} */ (setLateTimeout);
timers.setTimeout = globalThis.setTimeout;

const nobody = new Int32Array(new SharedArrayBuffer(4));

function standStill() {
  const longest = Math.random() < 0.1 ? 300 : 60;
  Atomics.wait(nobody, 0, 0, factor * longest * Math.random());
  setRealTimeout(standStill, 200 + 3_000 * Math.random()).unref();
}
standStill();

// Processes that are given an environment of their own are late, too.
for (const name of /** @type {const} */ (["spawn", "fork"])) {
  const start = /** @type {(...args: any[]) => any} */ (childProcess[name]);
  const startLate = (/** @type {any[]} */ ...args) => {
    const options = args.at(-1);
    if (options?.env) options.env = { NODE_OPTIONS: process.env["NODE_OPTIONS"], ...options.env };
    return start(...args);
  };
  Object.assign(childProcess, { [name]: startLate });
}
syncBuiltinESMExports();
