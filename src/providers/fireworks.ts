import { speaker } from "./openai-speaker.js";
import type { Provider } from "./provider.js";

/**
 * Fireworks, https://docs.fireworks.ai/api-reference. Streams tell their usage in the last chunk without being asked. It has
 * never been told for whom a request is.
 */
export const fireworks: Provider = speaker({
  kind: "fireworks",
  defaultBaseUrl: "https://api.fireworks.ai/inference/v1",
  retryAfterSeconds: 30,
  dialect: "fireworks",
  body: { asksForUsage: false, namesEndUser: false },
  passHeaders: ["x-fireworks-genie"],
});
