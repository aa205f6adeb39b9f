// B9, B14: what streams that are silent hold, and what is left after a lot of work.

import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { chatRequest } from "../harness/bodies.js";
import { streams, wrk } from "../harness/load.js";
import { type Column, columns, medianOf, titled } from "../harness/results.js";
import { type BenchOptions, compare, type Scenario, withParties } from "../harness/scenario.js";
import { spreads } from "../harness/stats.js";
import { type Party, startParty } from "../parties/parties.js";

const whole = chatRequest(1024);
const streamed = chatRequest(1024, true);

function unary({ port, chatPath, headers }: Party, connections: number, { seconds }: BenchOptions, folder: string) {
  return wrk({ port, path: chatPath, headers, body: whole }, { connections, seconds, folder });
}

const idleStreams = 9_000;
/** How long they are open: as many take a while to be opened. */
const openSeconds = 45;
const perStream: Column = {
  figure: "perStream",
  title: "memory of a stream, KB",
  show: (bytes) => (bytes / 1e3).toFixed(1),
};

/** B9. */
export const b9: Scenario = {
  id: "B9",
  title: `${idleStreams.toLocaleString("en")} idle streams, and requests beside them`,
  parties: ["gateway"],
  run: (options) =>
    withParties(
      ["direct"],
      // After its first event it says nothing for a minute.
      { answerBytes: 400, stream: { chunks: 2, everyUs: 60_000_000 } },
      { ...options, parties: new Set(["direct"]) },
      ([upstream], folder) =>
        compare(
          {
            ...b9,
            contenders: b9.parties.filter((name) => options.parties.has(name)).map((name) => ({ name })),
            columns: [
              perStream,
              titled(columns.p99, "p99 without them, ms"),
              { ...columns.p99, figure: "besideP99", title: "p99 beside them, ms" },
            ],
            notes: ["requests on 8 connections; memory: what the process grew by, divided by the streams"],
            async measure({ name }) {
              if (!upstream) throw new Error("no upstream");
              const surroundings = { folder, gatewayEntry: options.gatewayEntry };
              const party = await startParty(name, upstream.running, surroundings);
              try {
                return await measureIdle(party, options, folder);
              } finally {
                await party.running.stop();
              }
            },
            goals: (rows) => [
              {
                text: "memory of a stream, KB",
                kind: "at most",
                limit: 30,
                value: medianOf(rows, "gateway", "perStream") / 1e3,
              },
              {
                text: "p99 beside them ÷ without",
                kind: "at most",
                limit: 2,
                value: medianOf(rows, "gateway", "besideP99") / medianOf(rows, "gateway", "p99"),
              },
            ],
          },
          options,
        ),
    ),
};

async function measureIdle(party: Party, options: BenchOptions, folder: string) {
  const { port, chatPath, headers, running } = party;
  // Not the first requests are compared, which Node runs while it compiles them.
  for (let warm = 0; warm < 3; warm++) await unary(party, 8, options, folder);
  const without = await unary(party, 8, options, folder);
  await sleep(1_000);
  const before = running.rss();
  const request = { port, path: chatPath, headers, body: streamed };
  const load = streams(request, { connections: idleStreams, seconds: openSeconds, folder });
  // Each has a connection to its caller and one to its upstream.
  while (readdirSync(`/proc/${running.pid}/fd`).length < 2 * idleStreams) await sleep(100);
  await sleep(1_000);
  const held = running.rss() - before;
  const beside = await unary(party, 8, options, folder);
  await load;
  return { perStream: held / idleStreams, p99: without.p99, besideP99: beside.p99 };
}

/** A lap: so many requests, and a tenth of that in streams which their callers leave. */
const lapRequests = 100_000;
const leaving = 300;

/** B14. */
export const b14: Scenario = {
  id: "B14",
  title: "memory after much work: 100,000 requests a lap, and 10,000 streams that are left",
  parties: ["gateway"],
  run: (options) =>
    withParties(
      b14.parties,
      { answerBytes: 2048, stream: { chunks: 200, everyUs: 20_000 } },
      options,
      async (parties, folder) => {
        const laps = 2 * options.rounds;
        const sizes = new Map<string, number[]>();
        for (const party of parties) sizes.set(party.name, await work(party, laps, options, folder));
        const rows = [...sizes].map(([name, all]) => ({ name, figures: spreads(all.map((rss) => ({ rss }))) }));
        const growth = growthOf(sizes.get("gateway") ?? []);
        return {
          id: b14.id,
          title: b14.title,
          columns: [titled(columns.rss, "RSS MB at the ends of laps")],
          rows,
          goals: [
            { text: `growth over ${laps - 1} laps, MB`, kind: "at most" as const, limit: 20, value: growth / 1e6 },
          ],
          notes: [
            `in turn: ${(sizes.get("gateway") ?? []).map((rss) => (rss / 1e6).toFixed(0)).join(", ")} MB; growth: of the straight line through them`,
          ],
        };
      },
    ),
};

async function work(party: Party, laps: number, options: BenchOptions, folder: string): Promise<number[]> {
  const { port, chatPath, headers, running } = party;
  const sizes: number[] = [];
  for (let lap = 1; lap <= laps; lap++) {
    for (let done = 0; done < lapRequests; ) done += (await unary(party, 64, options, folder)).requests;
    // None of them ends within a second: whoever opened it leaves.
    for (let left = 0; left < lapRequests / 10; left += leaving)
      await streams({ port, path: chatPath, headers, body: streamed }, { connections: leaving, seconds: 1, folder });
    await sleep(2_000);
    sizes.push(running.rss());
    options.progress(`B14 lap ${lap}/${laps} ${party.name} RSS ${((sizes.at(-1) ?? 0) / 1e6).toFixed(0)} MB`);
  }
  return sizes;
}

/** Least squares: what the line rises by from the first to the last. */
function growthOf(sizes: readonly number[]): number {
  const middle = (sizes.length - 1) / 2;
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  const rise = sizes.reduce((sum, size, at) => sum + (at - middle) * (size - mean), 0);
  const run = sizes.reduce((sum, _, at) => sum + (at - middle) ** 2, 0);
  return (rise / run) * (sizes.length - 1);
}
