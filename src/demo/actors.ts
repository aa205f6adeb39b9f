// Who may use the demo: actors as the configuration file has them, and the tokens to try them with.

import { userToken } from "./dotcom.js";
import { demoToken, demoUuid } from "./subscriptions.js";

/** A demo actor, with what it is there to show. */
export interface DemoActor {
  readonly token: string;
  readonly shows: string;
  /** Its entry under `actors` in a configuration file, but for its tokens. */
  readonly entry: { readonly id: string; readonly name: string; readonly limits: object; readonly models: object };
}

const everything = { chat_completions: ["*"], code_completions: ["*"], embeddings: ["*"] };

export const demoActors: readonly DemoActor[] = [
  {
    token: "demo-token-of-acme-corporation",
    shows: "500 chats a day and 2,000,000 tokens a month, 20 at a time",
    entry: {
      id: "acme",
      name: "Acme Corporation",
      limits: {
        chat_completions: [
          { limit: 500, per: "24h" },
          { limit: 2_000_000, unit: "tokens", per: "30d" },
          { inFlight: 20 },
        ],
        code_completions: [{ limit: 10_000, per: "24h" }],
        embeddings: [{ limit: 10_000_000, unit: "tokens", per: "24h" }],
      },
      models: everything,
    },
  },
  {
    token: "demo-token-of-tiny-startup",
    shows: "3 chats an hour: the fourth is refused",
    entry: {
      id: "tiny",
      name: "Tiny Startup",
      limits: { chat_completions: [{ limit: 3, per: "1h" }] },
      models: { chat_completions: ["openai/*"] },
    },
  },
];

/** The token of one of the Enterprise Portal's subscriptions. */
export const subscriptionToken = demoToken(demoUuid("7"));

/** Actors that the demo's Enterprise Portal and Sourcegraph.com tell of, with what they are there to show. */
export const remoteActors: readonly { readonly token: string; readonly name: string; readonly shows: string }[] = [
  {
    token: subscriptionToken,
    name: "Customer 7",
    shows: "a subscription of the Enterprise Portal, from its listing",
  },
  { token: userToken(42), name: "ada", shows: "a user of Sourcegraph.com, asked for when the token first comes" },
];

/** A token of the demo's administration. */
export const operatorToken = "demo-token-of-the-operator";
