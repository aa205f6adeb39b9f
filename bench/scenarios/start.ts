// B13: from nothing to the first answer, and what an idle process holds.

import { chatRequest } from "../harness/bodies.js";
import { type Column, columns, medianOf, titled } from "../harness/results.js";
import { check, compare, type Scenario, withParties } from "../harness/scenario.js";
import { startParty } from "../parties/parties.js";

const body = chatRequest(1024);
const startUp: Column = {
  ...titled(columns.p50, "start to first answer, ms"),
  figure: "startMs",
  show: (ms) => ms.toFixed(0),
};
const idle: Column = { ...titled(columns.rss, "idle RSS, MB"), figure: "idle" };

/** B13. */
export const b13: Scenario = {
  id: "B13",
  title: "start-up and idle memory",
  parties: ["bare", "gateway", "portkey"],
  run: (options) =>
    withParties(
      ["direct"],
      { answerBytes: 400, stream: { chunks: 1, everyUs: 0 } },
      { ...options, parties: new Set(["direct"]) },
      ([upstream], folder) =>
        compare(
          {
            ...b13,
            contenders: b13.parties.filter((name) => options.parties.has(name)).map((name) => ({ name })),
            columns: [startUp, idle],
            notes: ["idle: two seconds after the first answer, no request since"],
            async measure({ name }) {
              if (!upstream) throw new Error("no upstream");
              const startedAt = performance.now();
              const { running, port, chatPath, headers } = await startParty(name, upstream.running, {
                folder,
                gatewayEntry: options.gatewayEntry,
              });
              try {
                await check(`http://127.0.0.1:${port}${chatPath}`, headers, body, /"usage"/);
                const startMs = performance.now() - startedAt;
                await new Promise((resolve) => setTimeout(resolve, 2000));
                return { startMs, idle: running.rss() };
              } finally {
                await running.stop();
              }
            },
            goals: (rows) => [
              {
                text: "start to first answer, s",
                kind: "at most",
                limit: 0.5,
                value: medianOf(rows, "gateway", "startMs") / 1000,
              },
              { text: "idle RSS, MB", kind: "at most", limit: 100, value: medianOf(rows, "gateway", "idle") / 1e6 },
            ],
          },
          options,
        ),
    ),
};
