import { createMemoryActorStore } from "../../src/actors/memory-store.js";
import { systemClock } from "../../src/lib/clock.js";
import { describeActorStore } from "../contract/actor-store.js";

describeActorStore("memory", async () => ({
  open: async () => createMemoryActorStore({ clock: systemClock }),
  [Symbol.asyncDispose]: async () => undefined,
}));
