import { createMemoryOutbox } from "../../src/usage/memory-outbox.js";
import { describeOutbox } from "../contract/outbox.js";

describeOutbox("memory", async ({ sinks, ...options }) => {
  const outbox = createMemoryOutbox(sinks, options);
  return {
    outbox,
    parked: async () => outbox.parked(),
    reopened: undefined,
    [Symbol.asyncDispose]: () => outbox.close(),
  };
});
