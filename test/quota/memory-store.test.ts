import { createMemoryQuotaStore } from "../../src/quota/memory-store.js";
import { describeQuotaStore } from "../contract/quota-store.js";
import { fakeClock } from "../helpers/fake-clock.js";

describeQuotaStore("memory", async ({ leaseMs }) => {
  const clock = fakeClock();
  return { store: createMemoryQuotaStore({ clock }, { leaseMs }), advance: clock.advanceMs };
});
