import { CallError } from "./call-error.js";
import { type Fields, fieldsOf } from "./fields.js";
import type { HttpAnswer, HttpCaller } from "./http-caller.js";

/** One operation of a GraphQL interface. */
export interface GraphqlOperation {
  readonly name: string;
  readonly query: string;
}

/** What it said: https://spec.graphql.org/October2021/#sec-Response-Format */
export interface GraphqlAnswer {
  readonly data: Fields;
  /** The code of each error, undefined where it has none that is a word. Texts are left out: they may repeat what was asked. */
  readonly errors: readonly (string | undefined)[];
}

/** Asks one GraphQL interface. */
export interface GraphqlClient {
  /** Throws `CallError` when there is no answer, and the signal's reason when it is aborted. */
  ask(operation: GraphqlOperation, variables: Fields, signal: AbortSignal): Promise<GraphqlAnswer>;
  close(): Promise<void>;
}

export interface GraphqlOptions {
  /** What errors call it. */
  readonly service: string;
  readonly apiUrl: string;
  readonly accessToken: string;
  /** Sent as `X-Sourcegraph-Client-ID`. */
  readonly clientId?: string | undefined;
  readonly userAgent: string;
}

/** A client of Sourcegraph's own ways: the token's scheme, and the operation's name as the query of the URL. */
export function createGraphqlClient({ caller }: { caller: HttpCaller }, options: GraphqlOptions): GraphqlClient {
  const { service, apiUrl, accessToken, clientId, userAgent } = options;
  const headers = {
    authorization: `token ${accessToken}`,
    "content-type": "application/json; charset=utf-8",
    accept: "application/json",
    "user-agent": userAgent,
    ...(clientId !== undefined && { "x-sourcegraph-client-id": clientId }),
  };

  return {
    async ask({ name, query }, variables, signal) {
      const url = `${apiUrl}${apiUrl.includes("?") ? "&" : "?"}${name}`;
      const body = JSON.stringify({ query, variables });
      let answer: HttpAnswer;
      try {
        answer = await caller.post({ url, headers, body, signal });
      } catch (error) {
        throw signal.aborted ? signal.reason : error;
      }
      const { status, json } = answer;
      if (status !== 200) throw new CallError(service, `answered with ${status}`, status);
      const { data, errors } = fieldsOf(json);
      return { data: fieldsOf(data), errors: Array.isArray(errors) ? errors.map(codeOf) : [] };
    },
    close: () => caller.close(),
  };
}

function codeOf(error: unknown): string | undefined {
  const { code } = fieldsOf(fieldsOf(error)["extensions"]);
  return typeof code === "string" && /^\w{1,60}$/.test(code) ? code : undefined;
}
