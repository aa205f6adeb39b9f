import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { UsageEvent } from "../../../src/usage/event.js";
import { EventsRefusedError } from "../../../src/usage/sink.js";
import { createPostgresSink } from "../../../src/usage/sinks/postgres.js";
import { describeSink, makeEvent } from "../../contract/sink.js";
import { type PostgresServer, query, startPostgres } from "../../helpers/postgres.js";
import { startTcpProxy, type TcpProxy } from "../../helpers/tcp-proxy.js";

let server: PostgresServer;
let proxy: TcpProxy;
beforeAll(async () => {
  server = await startPostgres();
  proxy = await startTcpProxy(server.port);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const eventsIn = async (url: string): Promise<readonly UsageEvent[]> =>
  (await query<{ event: UsageEvent }>(url, "select event from cody_gateway_events order by ctid")).map(
    ({ event }) => event,
  );

describeSink("postgres", async () => {
  const url = await server.database(proxy.endpoint);
  return {
    sink: createPostgresSink(url),
    received: () => eventsIn(url).catch(() => []),
    breakOff: () => proxy.refuse(),
    mend: () => proxy.accept(),
  };
});

describe("the Postgres sink", () => {
  it("has an event once, however often it is sent", async () => {
    const url = await server.database();
    const sink = createPostgresSink(url);
    const events = ["1", "2", "3"].map((id) => makeEvent({ id }));
    await sink.send(events.slice(0, 2));
    await sink.send(events);
    await sink.send([...events, ...events]);
    expect((await eventsIn(url)).map(({ id }) => id)).toEqual(["1", "2", "3"]);
    await sink.close?.();
  });

  it("has columns to ask for, as far as they are known", async () => {
    const url = await server.database();
    const sink = createPostgresSink(url);
    const { model, ...unknown } = makeEvent({
      id: "2",
      usage: {},
      charged: false,
      outcome: "refused",
      reason: "QUOTA_EXCEEDED",
    });
    await sink.send([makeEvent({ id: "1", model: "a\u0000b" }), unknown]);
    const rows = await query(
      url,
      "select id, time, outcome, reason, actor_id, model, charged, output_tokens from cody_gateway_events order by id",
    );
    const common = { time: new Date(makeEvent().time), actor_id: "acme" };
    expect(model).toBeDefined();
    expect(rows).toEqual([
      { ...common, id: "1", outcome: "completed", reason: null, model: "a\ufffdb", charged: true, output_tokens: "20" },
      {
        ...common,
        id: "2",
        outcome: "refused",
        reason: "QUOTA_EXCEEDED",
        model: null,
        charged: false,
        output_tokens: null,
      },
    ]);
    await sink.close?.();
  });

  it("refuses for good what the table does not take, and nothing else", async () => {
    const url = await server.database();
    const sink = createPostgresSink(url);
    await sink.send([makeEvent({ id: "1" })]);
    await query(url, "alter table cody_gateway_events add check (actor_id <> 'bad')");
    const bad = makeEvent({ id: "2", actor: { id: "bad", source: "static" } });

    await expect(sink.send([makeEvent({ id: "3" }), bad])).rejects.toThrow(EventsRefusedError);
    expect((await eventsIn(url)).map(({ id }) => id)).toEqual(["1"]);
    await query(url, "alter table cody_gateway_events rename to elsewhere");
    await expect(sink.send([bad])).rejects.not.toThrow(EventsRefusedError);
    // The table is made anew.
    await sink.send([makeEvent({ id: "4" })]);
    expect((await eventsIn(url)).map(({ id }) => id)).toEqual(["4"]);
    await sink.close?.();
  });

  it("inserts as somebody who may do nothing else, into a table that is there", async () => {
    const url = await server.database();
    const owner = createPostgresSink(url);
    await owner.send([makeEvent({ id: "1" })]);
    await query(
      url,
      "create role writer login; revoke create on schema public from public; grant insert, select on cody_gateway_events to writer",
    );
    const sink = createPostgresSink(url.replace("gateway@", "writer@"));
    await sink.send([makeEvent({ id: "1" }), makeEvent({ id: "2" })]);
    expect((await eventsIn(url)).map(({ id }) => id)).toEqual(["1", "2"]);
    await Promise.all([owner.close?.(), sink.close?.()]);
  });

  it("gives up a server that says nothing", async () => {
    const silent = await startTcpProxy(server.port);
    silent.pass("none");
    const sink = createPostgresSink(await server.database(silent.endpoint), { connectMs: 200, timeoutMs: 200 });
    await expect(sink.send([makeEvent()])).rejects.toThrow();
    await sink.close?.();
    await silent[Symbol.asyncDispose]();
  });

  it("is known by host and database, not by user and password", async () => {
    const keyOf = (url: string) => createPostgresSink(url).key;
    expect(keyOf("postgres://a:secret@db:5432/usage")).toBe(keyOf("postgres://b@db:5432/usage"));
    expect(keyOf("postgres://a@db/usage")).not.toBe(keyOf("postgres://a@db/other"));
    expect(keyOf("postgres://a:secret@db:5432/usage")).toMatch(/^postgres-[0-9a-f]{12}$/);
  });
});
