import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { UsageEvent } from "../../../src/usage/event.js";
import { EventsRefusedError, SinkBusyError } from "../../../src/usage/sink.js";
import { createHttpSink } from "../../../src/usage/sinks/http.js";
import { describeSink, makeEvent } from "../../contract/sink.js";

interface Received {
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: readonly Record<string, unknown>[];
}

type Answer = (answer: ServerResponse) => void;

const servers: (() => void)[] = [];
afterEach(() => {
  for (const close of servers.splice(0)) close();
});

/** A collector on a free port that answers 204, or as it is told. */
async function startCollector() {
  const received: Received[] = [];
  let answers: Answer = (answer) => answer.writeHead(204).end();
  const server = createServer((request, answer) => {
    let text = "";
    request.setEncoding("utf8").on("data", (part: string) => (text += part));
    request.on("end", () => {
      received.push({ path: request.url, headers: request.headers, body: JSON.parse(text) as Received["body"] });
      answers(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(() => server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/events`, port, received, answer: (given: Answer) => void (answers = given) };
}

const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (answer) =>
    void answer.writeHead(code, headers).end();

describeSink("http", async () => {
  const collector = await startCollector();
  let broken = false;
  const taken: Received[] = [];
  collector.answer((answer) => {
    if (!broken) taken.push(collector.received.at(-1) as Received);
    answer.writeHead(broken ? 503 : 200).end();
  });
  return {
    sink: createHttpSink(collector.url),
    received: async () => taken.flatMap(({ body }) => body.map(({ data }) => data as UsageEvent)),
    breakOff: async () => void (broken = true),
    mend: async () => void (broken = false),
  };
});

describe("the HTTP sink", () => {
  it("posts CloudEvents 1.0 in batches", async () => {
    const { url, received } = await startCollector();
    const sink = createHttpSink(url);
    const event = makeEvent({ id: "1" });

    await sink.send([event, makeEvent({ id: "2" })]);

    expect(received).toHaveLength(1);
    expect(received[0]?.headers["content-type"]).toBe("application/cloudevents-batch+json; charset=UTF-8");
    expect(received[0]?.body[0]).toEqual({
      specversion: "1.0",
      id: "1",
      source: "/cody-gateway",
      type: "com.sourcegraph.cody-gateway.usage.v1",
      time: event.time,
      datacontenttype: "application/json",
      data: event,
    });
    await sink.close?.();
  });

  it("sends the headers it is given, and user and password of the URL as basic authentication", async () => {
    const { url, port, received } = await startCollector();
    const authorization = "Bearer secret";
    await createHttpSink(`${url}?team=a%26b`, { headers: { authorization, "x-team": "a" } }).send([makeEvent()]);
    await createHttpSink(`http://us%40er:pa%3Ass@127.0.0.1:${port}/`).send([makeEvent()]);

    expect(received[0]).toMatchObject({ path: "/events?team=a%26b", headers: { authorization, "x-team": "a" } });
    expect(received[1]).toMatchObject({
      path: "/",
      headers: { authorization: `Basic ${Buffer.from("us@er:pa:ss").toString("base64")}` },
    });
  });

  it.each([400, 401, 404, 413, 422])("takes %i for a refusal for good", async (code) => {
    const collector = await startCollector();
    collector.answer(status(code));
    await expect(createHttpSink(collector.url).send([makeEvent()])).rejects.toThrow(EventsRefusedError);
  });

  it.each([301, 307, 408, 425, 429, 500, 502, 503, 504])(
    "tries again later after %i, and follows nobody",
    async (code) => {
      const collector = await startCollector();
      collector.answer(status(code, { location: collector.url }));
      const sent = createHttpSink(collector.url).send([makeEvent()]);
      await expect(sent).rejects.toThrow(`answered ${code}`);
      await expect(sent).rejects.not.toThrow(EventsRefusedError);
      expect(collector.received).toHaveLength(1);
    },
  );

  it.each([
    ["120", 120_000],
    [new Date(Date.now() + 3_600_000).toUTCString(), 3_600_000],
  ])("comes back when it is asked to: retry-after %s", async (retryAfter, ms) => {
    const collector = await startCollector();
    collector.answer(status(429, { "retry-after": retryAfter }));
    const error: unknown = await createHttpSink(collector.url)
      .send([makeEvent()])
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SinkBusyError);
    expect(Math.abs((error as SinkBusyError).retryAfterMs - ms)).toBeLessThan(10_000);
  });

  it("gives up a collector that does not answer, or breaks off", async () => {
    const silent = await startCollector();
    silent.answer(() => undefined);
    await expect(createHttpSink(silent.url, { timeoutMs: 100 }).send([makeEvent()])).rejects.toThrow("in time");
    const broken = await startCollector();
    broken.answer((answer) => answer.destroy());
    await expect(createHttpSink(broken.url).send([makeEvent()])).rejects.toThrow();
  });

  it("says nothing of its secrets when it fails, and is known without them", async () => {
    const url = "http://user:canary@127.0.0.1:1/?token=canary";
    const sink = createHttpSink(url, { headers: { authorization: "Bearer canary" } });
    const error: unknown = await sink.send([makeEvent()]).catch((thrown: unknown) => thrown);
    expect(String(error)).not.toContain("canary");
    expect(sink.key).toBe(createHttpSink("http://127.0.0.1:1/").key);
    expect(sink.key).toMatch(/^http-[0-9a-f]{12}$/);
  });
});
