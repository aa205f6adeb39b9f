// How the cost of a request grows with connections and with actors.

import { chatRequest } from "../harness/bodies.js";
import { wrk } from "../harness/load.js";
import { columns, type Result } from "../harness/results.js";
import { withCost } from "../harness/rounds.js";
import { type BenchOptions, compare, type Scenario, withParties } from "../harness/scenario.js";
import type { Party } from "../parties/parties.js";

const body = chatRequest(1024);
const shape = { answerBytes: 2048, stream: { chunks: 1, everyUs: 0 } };

interface Contender {
  readonly name: string;
  readonly party: Party;
  readonly connections: number;
  readonly actors: number;
}

/** By connections. */
export const byConnections: Scenario = {
  id: "CONNECTIONS",
  title: "JSON pass-through, 1 KB → 2 KB, by connections",
  parties: ["nginx", "bare", "gateway"],
  run: (options) =>
    withParties(byConnections.parties, shape, options, (parties, folder) => {
      const contenders = parties.flatMap((party) =>
        [1, 8, 64, 256].map((connections) => ({
          name: `${party.name}, ${connections}`,
          party,
          connections,
          actors: 1,
        })),
      );
      return growth(byConnections, contenders, options, folder);
    }),
};

/** By actors, who take turns. */
export const byActors: Scenario = {
  id: "ACTORS",
  title: "JSON pass-through, 1 KB → 2 KB, 64 connections, by actors",
  parties: ["gateway"],
  async run(options) {
    const results: Result[] = [];
    for (const actors of [1, 10, 1_000, 100_000]) {
      const name = `${actors.toLocaleString("en")} actors`;
      const work = (parties: readonly Party[], folder: string): Promise<Result> => {
        const contenders = parties.map((party) => ({ name, party, connections: 64, actors }));
        return growth(byActors, contenders, options, folder);
      };
      results.push(await withParties(byActors.parties, shape, options, work, { actors }));
    }
    const [first] = results as [Result];
    return { ...first, rows: results.flatMap(({ rows }) => rows) };
  },
};

function growth(
  { id, title }: Scenario,
  contenders: readonly Contender[],
  options: BenchOptions,
  folder: string,
): Promise<Result> {
  const { rps, cpuUs, p50, p99, rss, busy, loadBusy, errors } = columns;
  const measure = async ({ party, connections, actors }: Contender) => {
    const request = { port: party.port, path: party.chatPath, headers: party.headers, body };
    const result = await wrk(request, { connections, actors, seconds: options.seconds, folder });
    const sample = { rps: result.requests / result.seconds, p50: result.p50, p99: result.p99, errors: result.errors };
    return { units: result.requests, sample };
  };
  return compare(
    {
      id,
      title,
      contenders,
      columns: [rps, cpuUs, p50, p99, rss, busy, loadBusy, errors],
      measure: (contender) => withCost(contender.party.running, () => measure(contender)),
      goals: () => [],
    },
    options,
  );
}
