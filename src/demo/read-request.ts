// What a request asks for, as its operation understands it.

import { makeAnswer } from "./answer.js";
import type { Behaviour } from "./behaviour.js";
import { BadRequestError, type Generation, type Json, type Lookup, object } from "./dialects/dialect.js";
import type { Route } from "./routes.js";

/** A request as its operation understood it. */
export interface Read {
  readonly known: { model: string | undefined; stream: boolean; endUser: string | undefined };
  readonly prompt: string;
  /** The answer of a lookup. */
  readonly body: object;
  readonly generate?: (behaviour: Behaviour) => { known: Generated };
}

/** What is made of a generation under some behaviour. */
export interface Generated {
  ask: ReturnType<Generation["read"]>;
  answer: ReturnType<typeof makeAnswer>;
  frames: ReturnType<Generation["frames"]>;
  usage: ReturnType<typeof makeAnswer>["usage"];
}

/** Throws `BadRequestError` for what is no request. */
export function readRequest(route: Route, bytes: Buffer): Read {
  const body = parseBody(bytes);
  const { operation } = route;
  return operation.kind === "lookup"
    ? readLookup(operation, body, route.model)
    : readGeneration(operation, body, route);
}

function parseBody(bytes: Buffer): Json {
  if (bytes.length === 0) return {};
  try {
    return object(JSON.parse(bytes.toString("utf8")));
  } catch (error) {
    throw new BadRequestError(`The body is not valid JSON: ${(error as Error).message}`);
  }
}

function readLookup(operation: Lookup, body: Json, pathModel: string | undefined): Read {
  const { body: reply, prompt = "", model, endUser, inputTokens } = operation.reply(body, pathModel);
  const usage = inputTokens === undefined ? {} : { usage: { inputTokens } };
  return { known: { model, stream: false, endUser, ...usage }, prompt, body: reply };
}

function readGeneration(operation: Generation, body: Json, route: Route): Read {
  const ask = operation.read(body, route.model, route.stream ?? false);
  return {
    known: { model: ask.model, stream: ask.stream, endUser: ask.endUser },
    prompt: ask.prompt,
    body: {},
    generate(behaviour) {
      const answer = makeAnswer(ask, behaviour);
      return { known: { ask, answer, frames: operation.frames(ask, answer), usage: answer.usage } };
    },
  };
}

/** The answer of a lookup, with the usage that was asked for. */
export function lookedUp(body: object, { noUsage, usage }: Behaviour): object {
  if (!("usage" in body)) return body;
  if (noUsage) return { ...body, usage: undefined };
  const tokens = usage?.inputTokens;
  return tokens === undefined ? body : { ...body, usage: { prompt_tokens: tokens, total_tokens: tokens } };
}
