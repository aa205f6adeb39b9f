// What docs/operations.md says in tables, held against the code.

import { resolve } from "node:path";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AttributionService } from "../../gen/codygateway/v1/attribution_pb.js";
import { ErrorReason } from "../../gen/codygateway/v1/common_pb.js";
import { CompletionsService } from "../../gen/codygateway/v1/completions_pb.js";
import { EmbeddingsService } from "../../gen/codygateway/v1/embeddings_pb.js";
import { LimitsService } from "../../gen/codygateway/v1/limits_pb.js";
import { toConnectError } from "../../src/api/errors.js";
import { GatewayError, type Reason } from "../../src/errors.js";
import { toHttpError } from "../../src/http/errors.js";
import { createQuotaKeys } from "../../src/quota/redis-keys.js";
import { maxOpenFiles, serverLimits } from "../../src/server/limits.js";
import { names } from "../../src/telemetry/names.js";
import { bigQuerySchema, createTableCommand, rowOf } from "../../src/usage/sinks/bigquery-table.js";
import { createTable } from "../../src/usage/sinks/postgres-table.js";
import { makeEvent } from "../contract/sink.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { blocksOf, readText, tableBelow } from "./markdown.js";

const text = readText("docs/operations.md");

describe("docs/operations.md", () => {
  it("lists every metric with its labels", () => {
    const told = tableBelow(text, "## Metrics").map(([name, labels]) => ({ name, labels }));
    const known = Object.values(names).map(({ name, labels }) => ({ name, labels: labels.join(", ") }));

    expect(sorted(told)).toEqual(sorted(known));
  });

  it("lists every reason with its status and its code", () => {
    const told = tableBelow(text, "## Errors").map(([reason, status, code]) => ({ reason, status, code }));
    const known = Object.keys(ErrorReason).flatMap((reason) => {
      const error = new GatewayError(reason as Reason, "");
      const { status } = toHttpError(error) as { status: number | undefined };
      if (status === undefined) return [];
      return [{ reason, status: String(status), code: snakeCase(Code[toConnectError(error).code]) }];
    });

    expect(known.length).toBeGreaterThan(20);
    expect(sorted(told)).toEqual(sorted(known));
  });

  it("lists every field of a usage event, and shows one", () => {
    const [, body = ""] = /interface UsageEvent \{\n([\s\S]*?)\n\}/.exec(readText("src/usage/event.ts")) ?? [];
    const fields = [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, name]) => name);
    const told = tableBelow(text, "### Fields").map(([name]) => name);
    const example = blocksOf(text).find(({ language }) => language === "json");
    const shown = JSON.parse(example?.text ?? "") as object;

    expect(told.toSorted()).toEqual(fields.toSorted());
    // All but the reason, which a completed request does not have, and what few have.
    const rare = ["reason", "limit", "flagged", "denied"];
    expect(Object.keys(shown).toSorted()).toEqual(fields.filter((name) => !rare.includes(name ?? "")).toSorted());
  });

  it("shows what makes the table in BigQuery, and has its schema as a file", async () => {
    const table = { project: "my-project", dataset: "cody_gateway", table: "events" };
    const shown = blocksOf(text).find((block) => block.text.includes("bq mk"));
    expect(shown?.text.trim().split("\n").at(-1)).toBe(createTableCommand(table));

    const told = tableBelow(text, "### BigQuery").flatMap(([names = ""]) => names.split(", "));
    expect(told).toEqual(bigQuerySchema.map(({ name }) => name));
    const file = resolve(import.meta.dirname, "../../docs/bigquery-schema.json");
    await expect(`${JSON.stringify(bigQuerySchema, null, 2)}\n`).toMatchFileSnapshot(file);
  });

  it("lists the members of metadata that rows in BigQuery have", () => {
    const event = makeEvent({
      outcome: "refused",
      reason: "QUOTA_EXCEEDED",
      endUser: { id: "42", anonymousId: "7" },
      limit: { of: "user", unit: "requests", limit: 5, used: 5, windowMs: 1_000 },
      flagged: { reasons: ["x"], blocked: false },
      denied: { why: "no", times: 1 },
    });
    const rows = [event, makeEvent(), makeEvent({ feature: "embeddings" })].map(
      (each) => (JSON.parse(rowOf(each)) as { json: { metadata: string } }).json.metadata,
    );
    const known = new Set(rows.flatMap((metadata) => Object.keys(JSON.parse(metadata) as object)));
    const [, , told = ""] = /^\| `metadata` \|( what)? (.*)\|$/m.exec(text) ?? [];
    const named = [...told.matchAll(/`(\w+)`/g)].map(([, name]) => name);

    expect(named.toSorted()).toEqual([...known].toSorted());
  });

  it("shows the table that the Postgres sink makes", () => {
    const shown = blocksOf(text).find(({ language, text: sql }) => language === "sql" && sql.startsWith("create"));
    expect(shown?.text.trim()).toBe(`${createTable};`);
  });

  it("names the stream of parked events", () => {
    const [shard] = createQuotaKeys("cody-gateway:").shards;
    expect(text).toContain(`redis-cli XRANGE '${shard?.outbox}:parked' `);
  });

  it("tells the bounds of the server", () => {
    const limits = serverLimits() as unknown as Record<string, number>;
    const rows = tableBelow(text, "Towards callers these are fixed:");

    expect(rows.length).toBeGreaterThan(10);
    for (const [name = "", value = ""] of rows) {
      if (name === "maxConnections") expect(limits[name]).toBe(Math.floor(0.48 * maxOpenFiles()));
      else expect([name, valueOf(value)]).toEqual([name, limits[name]]);
    }
  });
});

describe("the RPCs of docs/api.md", () => {
  let gateway: TestGateway;
  beforeAll(async () => {
    gateway = await testGateway();
  });
  afterAll(() => gateway[Symbol.asyncDispose]());

  const services = [CompletionsService, LimitsService, EmbeddingsService, AttributionService];
  const chat = { messages: [{ role: "ROLE_USER", parts: [{ text: "hi" }] }] };
  const completion = { model: "openai/gpt-4o", chat };

  // What passes the rules of the request, so that the answer is the handler's.
  const requests: Readonly<Record<string, object>> = {
    Complete: completion,
    StreamComplete: { completion },
    CountTokens: { completion },
    Embed: { model: "openai/text-embedding-ada-002", inputs: ["hi"] },
    SearchAttribution: { snippet: "const a = 1;", limit: 1 },
  };

  it.each(services.flatMap((service) => service.methods.map((method) => [service.name, method.name, method] as const)))(
    "are served: %s/%s",
    async (_, name, method) => {
      const answer = await fetch(`${gateway.url}/${method.parent.typeName}/${name}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "connect-protocol-version": "1", ...typeOf(method.methodKind) },
        body: bodyOf(method.methodKind, requests[name] ?? {}),
      });
      expect(await answer.text()).not.toContain('"unimplemented"');
    },
  );
});

function typeOf(kind: string): Record<string, string> {
  return { "content-type": kind === "unary" ? "application/json" : "application/connect+json" };
}

/** A stream's request is enveloped: a flag and the length before it. */
function bodyOf(kind: string, request: object): Buffer {
  const json = Buffer.from(JSON.stringify(request));
  if (kind === "unary") return json;
  const head = Buffer.alloc(5);
  head.writeUInt32BE(json.length, 1);
  return Buffer.concat([head, json]);
}

function sorted<T extends object>(rows: readonly T[]): T[] {
  return rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function snakeCase(name = ""): string {
  return name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
}

/** `5 s` in milliseconds, `16 KiB` in bytes, `100` as it is. */
function valueOf(words: string): number {
  const [number = "", unit = ""] = words.split(" ");
  return Number(number) * ({ "": 1, s: 1000, KiB: 1024 }[unit] ?? Number.NaN);
}
