import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import type { DemoUpstream } from "../../src/demo/upstream.js";
import { testUpstream } from "../helpers/upstream.js";

async function post(
  upstream: DemoUpstream,
  prompt: string,
  more: object = {},
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(`${upstream.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: "Bearer sk-good" },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: prompt }], ...more }),
    redirect: "manual",
    ...(signal && { signal }),
  });
}

const stream = { stream: true };

async function deltas(
  prompt: string,
  upstream: DemoUpstream,
): Promise<{ openai: number; anthropic: number; errors: string[] }> {
  const openai = new OpenAI({ baseURL: upstream.baseUrls.openai, apiKey: "sk-good", maxRetries: 0 });
  const anthropic = new Anthropic({ baseURL: upstream.baseUrls.anthropic, apiKey: "sk-good", maxRetries: 0 });
  const messages = [{ role: "user" as const, content: prompt }];
  const counts = { openai: 0, anthropic: 0, errors: [] as string[] };
  try {
    for await (const chunk of await openai.chat.completions.create({ model: "gpt-4o", messages, stream: true }))
      if (chunk.choices[0]?.delta.content) counts.openai++;
  } catch (error) {
    counts.errors.push(`openai: ${(error as Error).message}`);
  }
  try {
    const events = await anthropic.messages.create({
      model: "claude-sonnet-5",
      max_tokens: 99,
      messages,
      stream: true,
    });
    for await (const event of events) if (event.type === "content_block_delta") counts.anthropic++;
  } catch (error) {
    counts.errors.push(`anthropic: ${(error as Error).message}`);
  }
  return counts;
}

describe("what the demo upstream does when asked", () => {
  it("answers with a status, a hint when to come back, and the vendor's error", async () => {
    await using upstream = await testUpstream();
    const answer = await post(upstream, "[[status=529 retry-after=7]]");
    expect(answer.status).toBe(529);
    expect(answer.headers.get("retry-after")).toBe("7");
    expect(await answer.json()).toMatchObject({ error: { type: "server_error" } });
  });

  it("does what a model's name stands for", async () => {
    await using upstream = await testUpstream();
    expect((await post(upstream, "Hello", { model: "demo-busy" })).status).toBe(429);
  });

  it("sends as many deltas as asked, at the pace asked", async () => {
    await using upstream = await testUpstream();
    const startedAt = performance.now();
    expect(await deltas("[[chunks=20 every=5]]", upstream)).toEqual({ openai: 20, anthropic: 20, errors: [] });
    expect(performance.now() - startedAt).toBeGreaterThan(2 * 19 * (5 - 1));
  });

  it("dies in the middle, after the deltas asked for have arrived", async () => {
    await using upstream = await testUpstream();
    const seen = await deltas("[[die after=3]]", upstream);
    expect(seen).toMatchObject({ openai: 3, anthropic: 3 });
    expect(seen.errors).toHaveLength(2);
    await upstream.waitFor((call) => call.number === 2 && call.state === "broken");
    expect(upstream.calls.map((call) => call.deltas)).toEqual([3, 3]);
  });

  it("ends cleanly without the end mark", async () => {
    await using upstream = await testUpstream();
    const text = await (await post(upstream, "[[truncate after=2 half]]", stream)).text();
    expect(text).not.toContain("[DONE]");
    expect(text.endsWith("\n\n")).toBe(false);
  });

  it("reports an error in the middle, as the vendor does", async () => {
    await using upstream = await testUpstream();
    const seen = await deltas("[[error after=2]]", upstream);
    expect(seen).toMatchObject({ openai: 2, anthropic: 2 });
    expect(seen.errors).toHaveLength(2);
  });

  it("stalls until the caller leaves, and notices", async () => {
    await using upstream = await testUpstream();
    const leaving = new AbortController();
    const answer = await post(upstream, "[[stall after=2]]", stream, leaving.signal);
    const call = await upstream.waitFor((one) => one.deltas === 2);
    expect(answer.status).toBe(200);
    expect(call.state).toBe("answering");
    leaving.abort();
    await call.aborted;
    expect(call).toMatchObject({ state: "aborted", abortedAt: expect.any(Date) });
  });

  it("redirects, sends garbage, many headers and a bomb", async () => {
    await using upstream = await testUpstream();
    const redirect = await post(upstream, "[[redirect=http://127.0.0.1:9/ status=302]]");
    expect([redirect.status, redirect.headers.get("location")]).toEqual([302, "http://127.0.0.1:9/"]);
    expect(await (await post(upstream, "[[garbage]]")).text()).toContain("<html>");
    expect(await (await post(upstream, "[[garbage]]", stream)).text()).toContain('{"half": ');
    const headers = await post(upstream, "[[headers]]");
    expect([...headers.headers].length).toBeGreaterThan(40);
    expect(headers.headers.getSetCookie()).toHaveLength(2);
    const bomb = await post(upstream, "[[gzip-bomb=1]]");
    expect(bomb.headers.get("content-encoding")).toBe("gzip");
    expect(await bomb.text()).toHaveLength(1024 * 1024);
  });

  it("breaks a whole answer", async () => {
    await using upstream = await testUpstream();
    await expect(post(upstream, "[[die after=0]]")).rejects.toThrow();
    await expect(post(upstream, "[[die after=1]]").then((answer) => answer.text())).rejects.toThrow();
    await expect(post(upstream, "[[truncate after=1]]").then((answer) => answer.json())).rejects.toThrow(SyntaxError);
  });

  it("writes the same bytes in whatever pieces and line ends", async () => {
    await using upstream = await testUpstream();
    const read = async (directives: string): Promise<string> =>
      (await post(upstream, `Hi${directives}`, stream)).text();
    const plain = (await read("")).replaceAll(/chatcmpl-demo\d+/g, "");
    expect((await read("[[raw-chunk=3]]")).replaceAll(/chatcmpl-demo\d+/g, "")).toBe(plain);
    expect((await read("[[crlf]]")).replaceAll(/chatcmpl-demo\d+|\r/g, "")).toBe(plain);
  });

  it("says what it is told, without usage", async () => {
    await using upstream = await testUpstream();
    const answer = (await (await post(upstream, "[[say Good morning]] [[no-usage]]")).json()) as OpenAI.ChatCompletion;
    expect(answer.choices[0]?.message.content).toBe("Good morning");
    expect(answer.usage).toBeUndefined();
  });
});

describe("a test that plays the upstream", () => {
  it("scripts the next answers, and they are used up", async () => {
    await using upstream = await testUpstream();
    upstream.script({ status: 503 }, 2);
    upstream.script((call) => (call.model === "gpt-4o" ? { text: "scripted" } : undefined));
    const statuses: number[] = [];
    for (let index = 0; index < 2; index++) statuses.push((await post(upstream, "Hello")).status);
    expect(statuses).toEqual([503, 503]);
    expect(await (await post(upstream, "Hello")).text()).toContain("scripted");
    expect(await (await post(upstream, "Hello")).text()).toContain("You asked");
  });

  it("answers by hand, delta by delta", async () => {
    await using upstream = await testUpstream();
    upstream.holdAll();
    const answering = post(upstream, "Hello", stream);
    const call = await upstream.nextCall();
    expect(call.state).toBe("held");
    await call.say("one ");
    const answer = await answering;
    await call.say("two");
    await call.finish();
    const text = await answer.text();
    expect([...text.matchAll(/"content":"([^"]*)"/g)].map((match) => match[1]).join("")).toBe("one two");
    expect(text).toContain("[DONE]");
    await call.over;
    expect(call.state).toBe("answered");
  });

  it("sends raw bytes and resets", async () => {
    await using upstream = await testUpstream();
    upstream.holdAll();
    const answering = post(upstream, "Hello", stream);
    const call = await upstream.nextCall();
    await call.send(": hello\n\n");
    const answer = await answering;
    await call.reset();
    await expect(answer.text()).rejects.toThrow();
    expect(call.state).toBe("broken");
  });

  it("counts who is in flight at the same time", async () => {
    await using upstream = await testUpstream();
    upstream.holdAll();
    const answers = ["a", "a", "b"].map((user) => post(upstream, "Hello", { user }));
    await upstream.waitFor(() => upstream.calls.filter((call) => call.state === "held").length === 3);
    expect([upstream.inFlight("a"), upstream.inFlight("b"), upstream.inFlight()]).toEqual([2, 1, 3]);
    upstream.release();
    await Promise.all(answers);
    await upstream.waitFor(() => upstream.inFlight() === 0);
    expect([upstream.highWater("a"), upstream.highWater("b"), upstream.count()]).toEqual([2, 1, 3]);
  });

  it("notices a caller that leaves at the gate", async () => {
    await using upstream = await testUpstream();
    upstream.holdAll();
    const leaving = new AbortController();
    const answer = post(upstream, "Hello", {}, leaving.signal);
    const call = await upstream.nextCall();
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await call.aborted;
    expect(call.state).toBe("aborted");
  });

  it("says what it received when nothing comes as expected", async () => {
    await using upstream = await testUpstream();
    await post(upstream, "Hello");
    await expect(upstream.waitFor((call) => call.status === 418, 20)).rejects.toThrow("POST /v1/chat/completions 200");
  });
});
