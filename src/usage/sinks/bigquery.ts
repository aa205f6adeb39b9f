import { createHttpCaller, type HttpAnswer } from "../../lib/http-caller.js";
import { askWithToken, type TokenSource } from "../../lib/oauth.js";
import type { UsageEvent } from "../event.js";
import { EventsRefusedError, type RefusedEvent, type Sink } from "../sink.js";
import { targetKey } from "../target.js";
import { failureOf, refusedRows } from "./bigquery-answers.js";
import { type BigQueryTable, rowOf } from "./bigquery-table.js";

export interface BigQueryOptions extends BigQueryTable {
  /** Where the API is. */
  readonly baseUrl: string;
  /** How the gateway names itself. */
  readonly userAgent?: string;
  /** Requests at the same time. Default 1. */
  readonly workers?: number;
  /** Time for a request, from connecting to the end of the answer. Default 20 s. */
  readonly timeoutMs?: number;
  /** Longest request. Default 9 MB: BigQuery takes 10, and more as it stores them. */
  readonly maxBytes?: number;
}

/** Most rows of a request: what BigQuery recommends. */
const maxRows = 500;

/** What all rows of a request have around them. A row that is not taken does not keep the others from being so. */
const head = '{"kind":"bigquery#tableDataInsertAllRequest","skipInvalidRows":true,"rows":[';
const tail = "]}";

/** A row, and the event that it is of. */
interface Row {
  readonly event: UsageEvent;
  readonly json: string;
  readonly bytes: number;
}

/**
 * Streams rows into a table that is there: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
 * Without `tokens` it is called without: emulators ask for none.
 */
export function createBigQuerySink(
  { tokens }: { readonly tokens: TokenSource | undefined },
  options: BigQueryOptions,
): Sink {
  const { project, dataset, table, baseUrl, workers = 1, timeoutMs = 20_000, maxBytes = 9_000_000 } = options;
  const path = ["projects", project, "datasets", dataset, "tables", table].map(encodeURIComponent).join("/");
  const url = `${baseUrl}/bigquery/v2/${path}/insertAll`;
  const caller = createHttpCaller("BigQuery", { timeoutMs, connections: workers, userAgent: options.userAgent });

  function post(rows: readonly Row[]): Promise<HttpAnswer> {
    const body = head + rows.map(({ json }) => json).join(",") + tail;
    const headers = { "content-type": "application/json; charset=UTF-8", accept: "application/json" };
    if (tokens === undefined) return caller.post({ url, headers, body });
    return askWithToken(tokens, (token) =>
      caller.post({ url, headers: { ...headers, authorization: `Bearer ${token}` }, body }),
    );
  }

  /** The rows that BigQuery refuses; it has all others then. */
  async function insert(rows: readonly Row[]): Promise<readonly RefusedEvent[]> {
    const answer = await post(rows);
    if (answer.status !== 200) throw failureOf(answer, options);
    const refused = refusedRows(answer.json, rows.length);
    return rows.flatMap(({ event }, index) => {
      const why = refused.get(index);
      return why === undefined ? [] : [{ event, why }];
    });
  }

  return {
    name: "bigquery",
    key: targetKey("bigquery", `${project}.${dataset}.${table}`),
    batchSize: maxRows * workers,
    async send(batch) {
      const rows = batch.map((event): Row => {
        const json = rowOf(event);
        return { event, json, bytes: Buffer.byteLength(json) + 1 };
      });
      const requests = divide(rows, maxBytes - head.length - tail.length);
      const refused: RefusedEvent[] = [];
      for (let from = 0; from < requests.length; from += workers)
        refused.push(...(await allOf(requests.slice(from, from + workers).map(insert))));
      if (refused.length > 0) throw new EventsRefusedError(refused[0]?.why, refused);
    },
    close: () => caller.close(),
  };
}

/** What all resolve to, together. Rejects when all have settled; what is not for good goes before what is. */
async function allOf<T>(asked: readonly Promise<readonly T[]>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(asked);
  const failures = outcomes.filter((outcome) => outcome.status === "rejected").map(({ reason }) => reason as unknown);
  if (failures.length > 0) throw failures.find((error) => !(error instanceof EventsRefusedError)) ?? failures[0];
  return outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : []));
}

/** In parts that BigQuery takes in one request. A row that is too large for any is alone in its own, and refused there. */
function divide(rows: readonly Row[], maxBytes: number): Row[][] {
  const parts: Row[][] = [];
  let part: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (part.length === maxRows || bytes + row.bytes > maxBytes) {
      if (part.length > 0) parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(row);
    bytes += row.bytes;
  }
  return part.length > 0 ? [...parts, part] : parts;
}
