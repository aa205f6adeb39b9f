// Embedding 2,048 inputs equals embedding them one by one: every one of them, by every kind of upstream.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestGateway, testGateway } from "../helpers/gateway.js";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway({
    actor: { limits: { embeddings: [{ limit: 1_000_000_000, unit: "tokens", per: "24h" }] } },
    env: ({ url }) => ({
      CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_TOKEN: "key",
      CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_URL: `${url}/v2/models/mpnet/infer`,
    }),
  });
});
afterAll(() => gw[Symbol.asyncDispose]());

const inputs = Array.from({ length: 2_048 }, (_, index) => `input number ${index}`);

describe("2,048 inputs", { timeout: 300_000 }, () => {
  it.each([
    // What the upstream reports of several texts is its own affair.
    ["openai/text-embedding-3-small", 4, "reported"],
    ["google/gemini-embedding-001", 4, "counted"],
    ["sourcegraph/st-multi-qa-mpnet-base-dot-v1", undefined, "counted"],
  ])(
    "of %s equal each of them by itself, and cost as much where the gateway counts",
    async (model, dimensions, how) => {
      const { embeddings: client } = gw.client({ protocol: "grpc" });
      const length = dimensions === undefined ? {} : { dimensions };
      const many = await client.embed({ model, inputs, ...length });
      let tokens = 0;
      for (let start = 0; start < inputs.length; start += 16) {
        const singles = await Promise.all(
          inputs.slice(start, start + 16).map((input) => client.embed({ model, inputs: [input], ...length })),
        );
        singles.forEach(({ embeddings, usage }, index) => {
          expect(many.embeddings[start + index]?.values).toEqual(embeddings[0]?.values);
          tokens += usage?.inputTokens ?? 0;
        });
      }
      if (how === "counted") expect(many.usage?.inputTokens).toBe(tokens);
      else expect(many.usage?.inputTokens).toBeGreaterThan(0);
    },
  );
});
