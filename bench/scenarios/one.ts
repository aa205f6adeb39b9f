// B6: what is added when nothing else is going on.

import { chatRequest } from "../harness/bodies.js";
import { wrk } from "../harness/load.js";
import { columns, medianOf } from "../harness/results.js";
import { withCost } from "../harness/rounds.js";
import { check, compare, type Scenario, withParties } from "../harness/scenario.js";

const body = chatRequest(1024);

/** B6: one connection. */
export const b6: Scenario = {
  id: "B6",
  title: "one connection, one request at a time",
  parties: ["direct", "nginx", "bare", "gateway"],
  run: (options) =>
    withParties(
      b6.parties,
      { answerBytes: 2048, stream: { chunks: 1, everyUs: 0 } },
      options,
      async (parties, folder) => {
        for (const { port, chatPath, headers } of parties)
          await check(`http://127.0.0.1:${port}${chatPath}`, headers, body, /"usage"/);
        return compare(
          {
            ...b6,
            contenders: parties,
            columns: [columns.rps, columns.cpuUs, columns.p50, columns.p99, columns.p999, columns.errors],
            measure: ({ port, chatPath, headers, running }) =>
              withCost(running, async () => {
                const load = { connections: 1, seconds: options.seconds, folder };
                const result = await wrk({ port, path: chatPath, headers, body }, load);
                const { requests, seconds, errors, p50, p99, p999 } = result;
                return { units: requests, sample: { rps: requests / seconds, p50, p99, p999, errors } };
              }),
            goals(rows) {
              const added = (name: string): number => medianOf(rows, name, "p50") - medianOf(rows, "direct", "p50");
              return [
                {
                  text: "p50 added, gateway ÷ nginx",
                  kind: "at most",
                  limit: 2,
                  value: added("gateway") / added("nginx"),
                },
              ];
            },
          },
          options,
        );
      },
    ),
};
