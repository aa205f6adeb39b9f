// B1, B3: JSON passed through. The same load on different bodies.

import { agentRequest, chatRequest } from "../harness/bodies.js";
import { wrk } from "../harness/load.js";
import { columns, type Goal, medianOf, type Result } from "../harness/results.js";
import { withCost } from "../harness/rounds.js";
import { type BenchOptions, check, compare, type Scenario, withParties } from "../harness/scenario.js";
import type { Party, PartyName } from "../parties/parties.js";

interface JsonLoad {
  readonly id: string;
  readonly title: string;
  readonly parties: readonly PartyName[];
  readonly body: Buffer;
  readonly answerBytes: number;
  readonly connections: number;
  /** The gateway keeps its counts in Redis. */
  readonly redis?: boolean;
  goals(rows: Result["rows"]): readonly Goal[];
}

function jsonScenario(load: JsonLoad): Scenario {
  const { id, title, parties } = load;
  return { id, title, parties, run: (options) => runJson(load, options) };
}

function runJson(load: JsonLoad, options: BenchOptions): Promise<Result> {
  const shape = { answerBytes: load.answerBytes, stream: { chunks: 1, everyUs: 0 } };
  const work = async (parties: readonly Party[], folder: string): Promise<Result> => {
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
  };
  return withParties(load.parties, shape, options, work, load.redis ? { redis: true } : {});
}

const main = {
  parties: ["nginx", "bare", "gateway", "portkey"],
  body: chatRequest(1024),
  answerBytes: 2048,
  connections: 64,
} as const;

function mainGoals(rows: Result["rows"], [bare, nginx, portkey]: readonly [number, number, number]): readonly Goal[] {
  const rps = "requests per second, gateway ÷";
  return [
    {
      text: "CPU per request, gateway ÷ bare",
      kind: "at most",
      limit: bare,
      value: ratio(rows, "cpuUs", "gateway", "bare"),
    },
    { text: `${rps} nginx`, kind: "at least", limit: nginx, value: ratio(rows, "rps", "gateway", "nginx") },
    { text: `${rps} Portkey`, kind: "at least", limit: portkey, value: ratio(rows, "rps", "gateway", "portkey") },
  ];
}

/** B1: the main figure. */
export const b1 = jsonScenario({
  ...main,
  id: "B1",
  title: "JSON pass-through, 1 KB → 2 KB, 64 connections, memory store",
  goals: (rows) => mainGoals(rows, [1.3, 0.33, 15]),
});

/** B2: the same with counts that several gateways could share. */
export const b2 = jsonScenario({
  ...main,
  id: "B2",
  title: "JSON pass-through, 1 KB → 2 KB, 64 connections, Redis",
  redis: true,
  goals: (rows) => mainGoals(rows, [1.6, 0.27, 12]),
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
