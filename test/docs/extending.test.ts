// The examples of docs/extending.md: each stands there as it is here, and does what its contract asks.

import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { UsageEvent } from "../../src/usage/event.js";
import { describeProvider } from "../contract/provider.js";
import { describeSink } from "../contract/sink.js";
import { describeSource } from "../contract/source.js";
import { acme } from "./examples/acme.js";
import { createAcmeSink } from "./examples/acme-sink.js";
import { createAcmeSource } from "./examples/acme-source.js";
import { readText } from "./markdown.js";

/** Where the examples would stand in `src`. */
const places = new Map([
  ["acme.ts", "providers"],
  ["acme-source.ts", "actors/sources"],
  ["acme-sink.ts", "usage/sinks"],
]);

describe("docs/extending.md", () => {
  // `vitest -u` writes the examples anew.
  it("shows the examples as they are tested", async () => {
    const marked = /(<!-- example: (\S+) -->\n\n```ts\n)[\s\S]*?(```\n)/g;
    const text = readText("docs/extending.md");
    expect([...text.matchAll(marked)].map(([, , file]) => file)).toEqual([...places.keys()]);

    const current = text.replaceAll(
      marked,
      (_, begin: string, file: string, end: string) => begin + inPlace(file) + end,
    );

    await expect(current).toMatchFileSnapshot(resolve(import.meta.dirname, "../../docs/extending.md"));
  });
});

/** An example with its imports as they are where it would stand. */
function inPlace(file: string): string {
  const folder = places.get(file) ?? "";
  const up = "../".repeat(folder.split("/").length);
  return readText(`test/docs/examples/${file}`)
    .replaceAll(`../../../src/${folder}/`, "./")
    .replaceAll("../../../src/", up)
    .replaceAll("../../../gen/", `${up}../gen/`)
    .replaceAll(`${up}${folder.split("/")[0]}/`, "../");
}

describeProvider(acme, "../docs/recordings");

const known = `acme_${"a1".repeat(16)}`;

describeSource("acme", async () => ({
  source: createAcmeSource({
    url: "https://accounts.acme.example",
    key: "key",
    fetch: async (_, init) => {
      const { token } = JSON.parse(init?.body as string) as { token: string };
      const account = { id: "7", name: "Seven", active: true, chatsPerDay: 10 };
      return token === known ? Response.json(account) : new Response(null, { status: 404 });
    },
  }),
  known,
  foreign: [undefined, "", "acme_short", `slk_${"0".repeat(64)}`],
  unknown: [`acme_${"b2".repeat(16)}`],
}));

describeSink("acme", async () => {
  const received: UsageEvent[] = [];
  let status = 200;
  return {
    sink: createAcmeSink({
      url: "https://collector.acme.example",
      key: "key",
      fetch: async (_, init) => {
        if (status === 200) received.push(...(JSON.parse(init?.body as string) as UsageEvent[]));
        return new Response(null, { status });
      },
    }),
    received: async () => received,
    breakOff: async () => void (status = 503),
    mend: async () => void (status = 200),
  };
});
