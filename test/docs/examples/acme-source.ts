// Actors of Acme's accounts service: tokens `acme_` + 32 letters and digits.

import type { Actor } from "../../../src/actors/actor.js";
import type { Source } from "../../../src/actors/source.js";

const dayMs = 86_400_000;

/** What the service says of a token: only the fields we read. */
interface Account {
  readonly id: string;
  readonly name: string;
  readonly active: boolean;
  readonly chatsPerDay: number;
}

export function createAcmeSource(parts: { url: string; key: string; fetch?: typeof fetch }): Source {
  const { url, key, fetch: request = fetch } = parts;
  return {
    name: "acme",
    kind: "Acme accounts",
    owns: (token) => token !== undefined && /^acme_[a-z0-9]{32}$/.test(token),
    async lookup(token, signal) {
      const answer = await request(`${url}/accounts/by-token`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify({ token }),
        redirect: "error",
        signal,
      });
      if (answer.status === 404) return undefined;
      // Anything else is "cannot say": an outage must not look like a token that nobody knows.
      if (!answer.ok) throw new Error(`the accounts service answered ${answer.status}`);
      return { actor: toActor((await answer.json()) as Account), tokens: undefined };
    },
  };
}

function toActor({ id, name, active, chatsPerDay }: Account): Actor {
  const limits = [{ amount: chatsPerDay, unit: "requests", windowMs: dayMs } as const];
  return {
    id,
    name,
    source: "acme",
    accessEnabled: active,
    features: chatsPerDay > 0 ? { chat_completions: { limits, models: ["*"] } } : {},
    updatedAt: new Date(),
  };
}
