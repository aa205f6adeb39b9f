// B1, B3: JSON passed through. The same load on different bodies.

import { agentRequest, chatRequest } from "../harness/bodies.js";
import { wrk } from "../harness/load.js";
import { columns, type Goal, medianOf, type Result } from "../harness/results.js";
import { withCost } from "../harness/rounds.js";
import { type BenchOptions, check, compare, type Scenario, withParties } from "../harness/scenario.js";
import type { PartyName } from "../parties/parties.js";

interface JsonLoad {
  readonly id: string;
  readonly title: string;
  readonly parties: readonly PartyName[];
  readonly body: Buffer;
  readonly answerBytes: number;
  readonly connections: number;
  goals(rows: Result["rows"]): readonly Goal[];
}

function jsonScenario(load: JsonLoad): Scenario {
  const { id, title, parties } = load;
  return { id, title, parties, run: (options) => runJson(load, options) };
}

function runJson(load: JsonLoad, options: BenchOptions): Promise<Result> {
  const shape = { answerBytes: load.answerBytes, stream: { chunks: 1, everyUs: 0 } };
  return withParties(load.parties, shape, options, async (parties, folder) => {
    for (const { port, chatPath, headers } of parties)
      await check(`http://127.0.0.1:${port}${chatPath}`, headers, load.body, /"usage"/);
    return compare(
      {
        ...load,
        contenders: parties,
        columns: [
          columns.rps,
          columns.cpuUs,
          columns.p50,
          columns.p99,
          columns.p999,
          columns.rss,
          columns.busy,
          columns.loadBusy,
          columns.errors,
        ],
        measure: ({ port, chatPath, headers, running }) =>
          withCost(running, async () => {
            const request = { port, path: chatPath, headers, body: load.body };
            const result = await wrk(request, { connections: load.connections, seconds: options.seconds, folder });
            const { requests, seconds, errors, p50, p99, p999 } = result;
            return { units: requests, sample: { rps: requests / seconds, p50, p99, p999, errors } };
          }),
      },
      options,
    );
  });
}

/** B1: the main figure. */
export const b1 = jsonScenario({
  id: "B1",
  title: "JSON pass-through, 1 KB → 2 KB, 64 connections, memory store",
  parties: ["nginx", "bare", "gateway", "portkey"],
  body: chatRequest(1024),
  answerBytes: 2048,
  connections: 64,
  goals: (rows) => [
    {
      text: "CPU per request, gateway ÷ bare",
      kind: "at most",
      limit: 1.3,
      value: ratio(rows, "cpuUs", "gateway", "bare"),
    },
    {
      text: "requests per second, gateway ÷ nginx",
      kind: "at least",
      limit: 0.33,
      value: ratio(rows, "rps", "gateway", "nginx"),
    },
    {
      text: "requests per second, gateway ÷ Portkey",
      kind: "at least",
      limit: 15,
      value: ratio(rows, "rps", "gateway", "portkey"),
    },
  ],
});

/** B3: a coding agent's request. */
export const b3 = jsonScenario({
  id: "B3",
  title: "large request: 200 KB body, small answer, 16 connections",
  parties: ["nginx", "bare", "gateway"],
  body: agentRequest(200 * 1024),
  answerBytes: 400,
  connections: 16,
  goals: (rows) => [
    {
      text: "CPU per request, gateway ÷ bare",
      kind: "at most",
      limit: 1.5,
      value: ratio(rows, "cpuUs", "gateway", "bare"),
    },
  ],
});

/** One party's median over another's. */
export function ratio(rows: Result["rows"], figure: string, a: string, b: string): number {
  return medianOf(rows, a, figure) / medianOf(rows, b, figure);
}
