import { anthropic } from "./anthropic.js";
import { fireworks } from "./fireworks.js";
import { google } from "./google.js";
import { kserve } from "./kserve.js";
import { openai, openaiCompatible } from "./openai.js";
import type { Provider } from "./provider.js";

/** Every kind of upstream that the gateway speaks to. */
export const providers: readonly Provider[] = [anthropic, openai, google, fireworks, openaiCompatible, kserve];
