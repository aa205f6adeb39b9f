import { afterEach, describe, expect, it } from "vitest";
import type { Config } from "../../../src/config.js";
import { createSink } from "../../../src/gateway-outbox.js";
import { type GoogleCredentials, readGoogleCredentials } from "../../../src/lib/google-token.js";
import { EventsRefusedError, type Sink, SinkBusyError } from "../../../src/usage/sink.js";
import { createBigQuerySink } from "../../../src/usage/sinks/bigquery.js";
import { bigQuerySchema } from "../../../src/usage/sinks/bigquery-table.js";
import { describeSink, makeEvent } from "../../contract/sink.js";
import { type FakeBigQuery, type Fault, fakeBigQuery, refuse, send } from "../../helpers/bigquery.js";
import { fakeClock } from "../../helpers/fake-clock.js";

const table = { project: "project", dataset: "cody_gateway", table: "events" };
const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

async function server(now?: () => number): Promise<FakeBigQuery> {
  const started = await fakeBigQuery(bigQuerySchema, now);
  open.push(started);
  return started;
}

/** A sink that needs no token. */
function sinkFor({ url: baseUrl }: FakeBigQuery, options: { timeoutMs?: number; maxBytes?: number } = {}): Sink {
  const sink = createBigQuerySink({ tokens: undefined }, { ...table, baseUrl, ...options });
  open.push({ [Symbol.asyncDispose]: async () => sink.close?.() });
  return sink;
}

/** A sink as the gateway makes it. */
async function sinkWith(bigQuery: FakeBigQuery, credentials: GoogleCredentials, clock = fakeClock()): Promise<Sink> {
  const config: Config["events"]["bigQuery"] = { ...table, baseUrl: bigQuery.url, workers: 1, credentials };
  const sink = await createSink(
    { kind: "bigquery" },
    { httpHeaders: {}, bigQuery: config },
    { clock, userAgent: "test" },
  );
  open.push({ [Symbol.asyncDispose]: async () => sink.close?.() });
  return sink;
}

function credentialsIn(text: string): GoogleCredentials {
  const read = readGoogleCredentials(text);
  if ("expected" in read) throw new Error(read.expected);
  return read;
}

const events = (count: number, from = 0) => Array.from({ length: count }, (_, i) => makeEvent({ id: `${from + i}` }));
const failureOf = (sent: Promise<void>): Promise<unknown> =>
  sent.then(() => undefined).catch((error: unknown) => error);

describeSink("bigquery", async () => {
  const bigQuery = await server();
  return {
    sink: sinkFor(bigQuery),
    received: async () => bigQuery.events(),
    breakOff: async () => bigQuery.fail((res) => refuse(res, 503, "backendError")),
    mend: async () => bigQuery.fail(undefined),
  };
});

describe("the BigQuery sink", () => {
  it("sends at most 500 rows in a request, all under the events' ids", async () => {
    const bigQuery = await server();
    const sink = sinkFor(bigQuery);

    await sink.send(events(1_100));

    expect(bigQuery.inserts.map(({ rows }) => rows.length)).toEqual([500, 500, 100]);
    expect(bigQuery.rows().map(({ insertId }) => insertId)).toEqual(events(1_100).map(({ id }) => id));
    expect(sink.batchSize).toBe(500);
  });

  it("sends no more bytes in a request than may be", async () => {
    const bigQuery = await server();
    const maxBytes = 10_000;

    await sinkFor(bigQuery, { maxBytes }).send(events(100));

    expect(bigQuery.rows()).toHaveLength(100);
    expect(Math.max(...bigQuery.inserts.map(({ bytes }) => bytes))).toBeLessThanOrEqual(maxBytes);
    expect(bigQuery.inserts.length).toBeLessThan(20);
  });

  it("makes text of what is none: half characters, which BigQuery refuses", async () => {
    const bigQuery = await server();
    await sinkFor(bigQuery).send([makeEvent({ id: "1", model: "a\ud800b", actor: { id: "\udc00", source: "s" } })]);
    expect(bigQuery.events()).toEqual([
      makeEvent({ id: "1", model: "a\ufffdb", actor: { id: "\ufffd", source: "s" } }),
    ]);
  });

  it("says which rows are refused for good, and has delivered all others", async () => {
    const bigQuery = await server();
    bigQuery.refuse(({ insertId }) => (Number(insertId) % 100 === 7 ? "no such field: a\nb." : undefined));

    const error = await failureOf(sinkFor(bigQuery).send(events(1_000)));

    expect(error).toBeInstanceOf(EventsRefusedError);
    const { refused = [] } = error as EventsRefusedError;
    expect(refused.map(({ event }) => Number(event.id))).toEqual([7, 107, 207, 307, 407, 507, 607, 707, 807, 907]);
    expect(refused[0]?.why).toBe("BigQuery refuses it: invalid: no such field: a b.");
    expect(bigQuery.rows()).toHaveLength(990);
  });

  it("takes a row that is too large for any request for one that is refused, as the ledger finds out which it is", async () => {
    const bigQuery = await server();
    const sink = sinkFor(bigQuery);
    const large = makeEvent({ id: "large", model: "m".repeat(6_000_000) });

    const error = await failureOf(sink.send([makeEvent({ id: "1" }), large]));

    expect(error).toBeInstanceOf(EventsRefusedError);
    expect((error as EventsRefusedError).refused).toBeUndefined();
  });

  const answer =
    (status: number, reason: string, headers: Record<string, string> = {}): Fault =>
    (res) =>
      refuse(res, status, reason, headers);
  const insertErrors =
    (reason: unknown, index: unknown = 0): Fault =>
    (res) =>
      send(res, 200, { insertErrors: [{ index, errors: [{ reason }] }] });
  const bytes =
    (text: string): Fault =>
    (res) =>
      void res.end(text);

  it.each([
    ["500", answer(500, "internalError"), "BigQuery answered 500 internalError"],
    ["503", answer(503, "backendError"), "BigQuery answered 503 backendError"],
    ["429", answer(429, "rateLimitExceeded"), "BigQuery answered 429 rateLimitExceeded"],
    ["403 for a quota", answer(403, "quotaExceeded"), "BigQuery answered 403 quotaExceeded"],
    ["403 for too many", answer(403, "rateLimitExceeded"), "BigQuery answered 403 rateLimitExceeded"],
    ["a redirect", (res) => void res.writeHead(307, { location: "/token" }).end(), "BigQuery answered 307"],
    ["an end in the middle", (res) => void res.destroy(), /^BigQuery (cannot be reached|broke off)/],
    ["an HTML page with 502", (res) => void res.writeHead(502).end("<html>"), "BigQuery answered 502"],
    ["garbage", bytes("<html>"), "BigQuery's answer cannot be read"],
    ["null", bytes("null"), "BigQuery's answer cannot be read"],
    ["a list", bytes("[]"), "BigQuery's answer cannot be read"],
    ["insertErrors that are none", bytes('{"insertErrors":7}'), "BigQuery's answer cannot be read"],
    ["a row that was not sent", insertErrors("invalid", 2), "BigQuery's answer cannot be read"],
    ["a row of no number", insertErrors("invalid", "0"), "BigQuery's answer cannot be read"],
    ["a row that it had no time for", insertErrors("timeout"), "BigQuery did not take all rows (timeout)"],
    ["a row for another's sake", insertErrors("stopped"), "BigQuery did not take all rows (stopped)"],
    ["a row of which it does not say why", insertErrors(undefined), "BigQuery did not take all rows (unknown)"],
  ] satisfies [string, Fault, string | RegExp][])("is asked again later after %s", async (_, fault, message) => {
    const bigQuery = await server();
    const sink = sinkFor(bigQuery);
    bigQuery.fail(fault);

    const error = await failureOf(sink.send(events(2)));

    expect((error as Error).message).toMatch(message);
    expect(error).not.toBeInstanceOf(EventsRefusedError);
    expect(bigQuery.inserts).toHaveLength(1);
    bigQuery.fail(undefined);
    await sink.send(events(2));
    expect(bigQuery.rows()).toHaveLength(2);
  });

  it("gives up a BigQuery that does not answer", async () => {
    const bigQuery = await server();
    bigQuery.fail(() => undefined);
    await expect(sinkFor(bigQuery, { timeoutMs: 100 }).send(events(1))).rejects.toThrow(
      "BigQuery did not answer in time",
    );
  });

  it("comes back when it is asked to", async () => {
    const bigQuery = await server();
    bigQuery.fail(answer(429, "rateLimitExceeded", { "retry-after": "60" }));
    const error = await failureOf(sinkFor(bigQuery).send(events(1)));
    expect(error).toBeInstanceOf(SinkBusyError);
    expect((error as SinkBusyError).retryAfterMs).toBe(60_000);
  });

  it.each([400, 413])(
    "leaves it to the ledger to find what is wrong with a request that is answered %i",
    async (code) => {
      const bigQuery = await server();
      bigQuery.fail(answer(code, "invalid"));
      const error = await failureOf(sinkFor(bigQuery).send(events(2)));
      expect(error).toBeInstanceOf(EventsRefusedError);
      expect((error as EventsRefusedError).refused).toBeUndefined();
    },
  );

  it("has the ledger look for the row at which all others were stopped", async () => {
    const bigQuery = await server();
    const errors = ["stopped", "invalid"].map((reason, index) => ({ index, errors: [{ reason }] }));
    bigQuery.fail((res) => send(res, 200, { insertErrors: errors }));
    const error = await failureOf(sinkFor(bigQuery).send(events(2)));
    expect(error).toBeInstanceOf(EventsRefusedError);
    expect((error as EventsRefusedError).refused).toBeUndefined();
  });

  it("says what to create where there is no table, and goes on once it is there", async () => {
    const bigQuery = await server();
    bigQuery.tables.clear();
    const sink = sinkFor(bigQuery);

    const error = await failureOf(sink.send(events(1)));

    expect(error).not.toBeInstanceOf(EventsRefusedError);
    expect((error as Error).message).toMatch(/^BigQuery has no table project:cody_gateway\.events .*bq mk --table .*/);
    bigQuery.tables.add("project.cody_gateway.events");
    await sink.send(events(1));
    expect(bigQuery.rows()).toHaveLength(1);
  });

  it("says what it may not, and which role is missing", async () => {
    const bigQuery = await server();
    bigQuery.fail(answer(403, "accessDenied"));
    await expect(sinkFor(bigQuery).send(events(1))).rejects.toThrow(
      "BigQuery does not let the gateway write into project:cody_gateway.events (403 accessDenied): grant it roles/bigquery.dataEditor on the dataset",
    );
  });

  it("is one sink with each table, wherever it is called", async () => {
    const bigQuery = await server();
    const { key } = sinkFor(bigQuery);
    const elsewhere = createBigQuerySink({ tokens: undefined }, { ...table, baseUrl: "http://127.0.0.1:1" });
    const other = createBigQuerySink({ tokens: undefined }, { ...table, table: "other", baseUrl: bigQuery.url });
    expect(key).toMatch(/^bigquery-[0-9a-f]{12}$/);
    expect(elsewhere.key).toBe(key);
    expect(other.key).not.toBe(key);
  });
});

describe("the BigQuery sink's tokens", () => {
  it.each([
    ["key", ({ keyFile }: FakeBigQuery) => credentialsIn(keyFile)],
    ["user", ({ userFile }: FakeBigQuery) => credentialsIn(userFile)],
    ["metadata", ({ host }: FakeBigQuery): GoogleCredentials => ({ kind: "metadata", host })],
  ])("are had by %s, once for all requests, and anew before they end", async (kind, credentialsOf) => {
    const clock = fakeClock();
    const bigQuery = await server(clock.now);
    const sink = await sinkWith(bigQuery, credentialsOf(bigQuery), clock);

    await Promise.all([sink.send(events(3)), sink.send(events(3, 3))]);
    await sink.send(events(3, 6));

    expect(bigQuery.granted).toEqual([kind]);
    expect(new Set(bigQuery.inserts.map(({ token }) => token))).toEqual(new Set(["canary-token-1"]));
    await clock.advanceMs(3_599_000);
    await sink.send(events(1, 9));
    expect(bigQuery.granted).toEqual([kind, kind]);
    expect(bigQuery.rows()).toHaveLength(10);
  });

  it("are replaced once when one is refused, and the rows are sent again", async () => {
    const clock = fakeClock();
    const bigQuery = await server(clock.now);
    const sink = await sinkWith(bigQuery, credentialsIn(bigQuery.keyFile), clock);
    await sink.send(events(1));
    await clock.advanceMs(1_000);
    bigQuery.revoke();

    await sink.send(events(2));

    expect(bigQuery.inserts.map(({ token }) => token)).toEqual(["canary-token-1", "canary-token-1", "canary-token-2"]);
    expect(bigQuery.rows()).toHaveLength(2);
  });

  it("that are refused whenever they are given are an outage", async () => {
    const bigQuery = await server();
    const sink = await sinkWith(bigQuery, { kind: "metadata", host: bigQuery.host });
    bigQuery.fail((res) => refuse(res, 401, "authError"));
    await expect(sink.send(events(1))).rejects.toThrow("(401 authError)");
    expect(bigQuery.inserts).toHaveLength(2);
  });

  it("that cannot be had are an outage, and nothing secret is said of it", async () => {
    const bigQuery = await server();
    const sinks = [
      await sinkWith(bigQuery, { ...credentialsIn(bigQuery.keyFile), email: "another" } as GoogleCredentials),
      await sinkWith(bigQuery, { ...credentialsIn(bigQuery.userFile), clientId: "another" } as GoogleCredentials),
      await sinkWith(bigQuery, { kind: "metadata", host: "127.0.0.1:1" }),
    ];
    const errors = await Promise.all(sinks.map((sink) => failureOf(sink.send(events(1)))));
    expect(errors.map((error) => (error as Error).message)).toEqual([
      "Google gave no token (400: invalid_grant)",
      "Google gave no token (400: invalid_grant)",
      expect.stringMatching(/^Google cannot be reached/),
    ]);
    for (const error of errors) {
      expect(error).not.toBeInstanceOf(EventsRefusedError);
      const told = JSON.stringify(error, Object.getOwnPropertyNames(error));
      for (const secret of bigQuery.secrets()) expect(told).not.toContain(secret);
    }
    expect(bigQuery.inserts).toEqual([]);
  });

  it("are not sent to others: no failure has one in it", async () => {
    const bigQuery = await server();
    const sink = await sinkWith(bigQuery, credentialsIn(bigQuery.keyFile), { ...fakeClock(), now: Date.now });
    for (const fault of [500, 403, 404, 400].map(
      (code): Fault =>
        (res, { token }) =>
          refuse(res, code, token ?? ""),
    )) {
      bigQuery.fail(fault);
      const error = await failureOf(sink.send(events(1)));
      expect(error).toBeInstanceOf(Error);
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error as Error))).not.toContain("canary");
    }
  });
});
