// B4, B5: server-sent events passed through.

import { chatRequest, eventsOf } from "../harness/bodies.js";
import { type StreamsResult, streams } from "../harness/load.js";
import { columns, medianOf, type Result, titled } from "../harness/results.js";
import { withCost } from "../harness/rounds.js";
import { type BenchOptions, check, compare, type Scenario, withParties } from "../harness/scenario.js";
import type { Party } from "../parties/parties.js";
import { ratio } from "./json.js";

const body = chatRequest(1024, true);
const perSecond = titled(columns.rps, "streams/s");
const perChunk = titled(columns.cpuUs, "CPU µs/chunk");

function request({ port, chatPath, headers }: Party): Parameters<typeof streams>[0] {
  return { port, path: chatPath, headers, body };
}

// The caller does not ask for usage, as most do not: the upstream reports it to the gateway all the same.
async function checkAll(parties: readonly Party[]): Promise<void> {
  for (const { port, chatPath, headers } of parties)
    await check(`http://127.0.0.1:${port}${chatPath}`, headers, body, /data: \[DONE\]/);
}

/** Streams that missed events count as errors: everything has to arrive. */
function incomplete({ events, streams: ended, errors, late }: StreamsResult, expected: number): number {
  return errors + late + Math.ceil(Math.max(0, ended * expected - events) / expected);
}

const paced = { chunks: 200, everyUs: 2000 };

function pacedScenario(id: string, connections: number): Scenario {
  const title = `SSE pass-through, 200 chunks paced 2 ms, ${connections} streams`;
  const run = (options: BenchOptions): Promise<Result> =>
    withParties(["nginx", "bare", "gateway"], { answerBytes: 400, stream: paced }, options, async (parties, folder) => {
      await checkAll(parties);
      return compare(
        {
          id,
          title,
          contenders: parties,
          columns: [
            perSecond,
            perChunk,
            columns.p50,
            columns.p99,
            columns.p999,
            columns.rss,
            columns.busy,
            columns.loadBusy,
            columns.errors,
          ],
          notes: ["p50, p99, p99.9: time from the request to the end of its stream; ideal 400 ms"],
          measure: (party) =>
            withCost(party.running, async () => {
              const result = await streams(request(party), { connections, seconds: options.seconds, folder });
              const { p50, p99, p999 } = result.durationUs;
              const errors = incomplete(result, eventsOf(paced));
              return {
                units: result.streams * paced.chunks,
                sample: { rps: result.streams / result.seconds, p50, p99, p999, errors },
              };
            }),
          goals: (rows) => [
            {
              text: "CPU per chunk, gateway ÷ bare",
              kind: "at most",
              limit: 1.1,
              value: ratio(rows, "cpuUs", "gateway", "bare"),
            },
            {
              text: "stream time p99, gateway ÷ bare",
              kind: "at most",
              limit: 1.2,
              value: ratio(rows, "p99", "gateway", "bare"),
            },
          ],
        },
        options,
      );
    });
  return { id, title, parties: ["nginx", "bare", "gateway"], run };
}

/** B4: live streams. */
export const b4 = [pacedScenario("B4", 64), pacedScenario("B4-200", 200)];

const short = { chunks: 20, everyUs: 5000 };

/** B5: what is added to the time to the first byte. */
export const b5: Scenario = {
  id: "B5",
  title: "time to first byte, 200 new streams a second",
  parties: ["direct", "nginx", "bare", "gateway"],
  run: (options) =>
    withParties(b5.parties, { answerBytes: 400, stream: short }, options, async (parties, folder) => {
      await checkAll(parties);
      return compare(
        {
          ...b5,
          contenders: parties,
          columns: [perSecond, columns.p50, columns.p99, columns.p999, columns.busy, columns.loadBusy, columns.errors],
          notes: [
            "p50, p99, p99.9: from the request to the first byte of the answer's body; direct: without anything in between",
          ],
          measure: (party) =>
            withCost(party.running, async () => {
              const result = await streams(request(party), {
                connections: 128,
                seconds: options.seconds,
                rate: 200,
                folder,
              });
              const { p50, p99, p999 } = result.firstByteUs;
              const errors = incomplete(result, eventsOf(short));
              return {
                units: result.streams,
                sample: { rps: result.streams / result.seconds, p50, p99, p999, errors },
              };
            }),
          goals(rows) {
            const added = (name: string, figure: string): number =>
              medianOf(rows, name, figure) - medianOf(rows, "direct", figure);
            return [
              {
                text: "time to first byte added, p50 ms",
                kind: "at most",
                limit: 0.5,
                value: added("gateway", "p50") / 1000,
              },
              {
                text: "time to first byte, p99, gateway ÷ nginx",
                kind: "at most",
                limit: 3,
                value: ratio(rows, "p99", "gateway", "nginx"),
              },
            ];
          },
        },
        options,
      );
    }),
};
