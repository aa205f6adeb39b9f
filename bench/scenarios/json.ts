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
  /** Those who are measured with one connection, too. */
  readonly alone?: readonly PartyName[];
  goals(rows: Result["rows"]): readonly Goal[];
  remarks?(rows: Result["rows"]): readonly string[];
}

/** One party under one load. */
interface Contender {
  readonly name: string;
  readonly party: Party;
  readonly connections: number;
}

function contendersOf({ connections, alone = [] }: JsonLoad, parties: readonly Party[]): readonly Contender[] {
  return parties.flatMap((party) => [
    { name: party.name, party, connections },
    ...(alone.includes(party.name) ? [{ name: aloneName(party.name), party, connections: 1 }] : []),
  ]);
}

function aloneName(name: PartyName): string {
  return `${name}, 1 connection`;
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
        contenders: contendersOf(load, parties),
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
        measure: ({ party: { port, chatPath, headers, running }, connections }) =>
          withCost(running, async () => {
            const request = { port, path: chatPath, headers, body: load.body };
            const result = await wrk(request, { connections, seconds: options.seconds, folder });
            const { requests, seconds, errors, p50, p99, p999 } = result;
            return { units: requests, sample: { rps: requests / seconds, p50, p99, p999, errors } };
          }),
      },
      options,
    );
  };
  return withParties(load.parties, shape, options, work);
}

const main = {
  parties: ["nginx", "bare", "gateway", "portkey"],
  body: chatRequest(1024),
  answerBytes: 2048,
  connections: 64,
} as const;

function mainGoals(
  rows: Result["rows"],
  [bare, nginx, portkey]: readonly [number, number, number],
  gateway: PartyName = "gateway",
): readonly Goal[] {
  const rps = `requests per second, ${gateway} ÷`;
  return [
    {
      text: `CPU per request, ${gateway} ÷ bare`,
      kind: "at most",
      limit: bare,
      value: ratio(rows, "cpuUs", gateway, "bare"),
    },
    { text: `${rps} nginx`, kind: "at least", limit: nginx, value: ratio(rows, "rps", gateway, "nginx") },
    { text: `${rps} Portkey`, kind: "at least", limit: portkey, value: ratio(rows, "rps", gateway, "portkey") },
  ];
}

/** B1: the main figure. */
export const b1 = jsonScenario({
  ...main,
  id: "B1",
  title: "JSON pass-through, 1 KB → 2 KB, 64 connections, memory store",
  goals: (rows) => mainGoals(rows, [1.3, 0.33, 15]),
});

/** B2: the same with counts that several gateways could share, beside those in memory. */
export const b2 = jsonScenario({
  ...main,
  parties: ["nginx", "bare", "gateway", "gateway-redis", "portkey"],
  alone: ["bare", "gateway", "gateway-redis"],
  id: "B2",
  title: "JSON pass-through, 1 KB → 2 KB, 64 connections, limits in Redis and in memory",
  goals: (rows) => mainGoals(rows, [1.6, 0.27, 12], "gateway-redis"),
  remarks: (rows) => [
    `Redis adds to a request, alone on its connection: ${addedByRedis(rows, aloneName)}`,
    `with 64 connections: ${addedByRedis(rows, (name) => name)}`,
  ],
});

/** What the gateway on Redis takes longer than the one on its memory, by the medians of both. */
function addedByRedis(rows: Result["rows"], nameOf: (party: PartyName) => string): string {
  const added = (figure: string): number =>
    medianOf(rows, nameOf("gateway-redis"), figure) - medianOf(rows, nameOf("gateway"), figure);
  const [p50, p99] = ["p50", "p99"].map((figure) => (added(figure) / 1_000).toFixed(2));
  return `p50 ${p50} ms, p99 ${p99} ms, ${added("cpuUs").toFixed(0)} µs of CPU`;
}

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
