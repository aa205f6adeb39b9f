import { describe, expect, it } from "vitest";
import { createDemoDotcom, type DemoDotcom, userToken } from "../../src/demo/dotcom.js";

async function started(): Promise<DemoDotcom> {
  const dotcom = createDemoDotcom({ accessToken: "sgp_of_the_gateway" });
  await dotcom.listen();
  return dotcom;
}

async function ask(dotcom: DemoDotcom, query: string, token: string, authorization = "token sgp_of_the_gateway") {
  const answer = await fetch(dotcom.apiUrl, {
    method: "POST",
    headers: { authorization },
    body: JSON.stringify({ query, variables: { token } }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text.startsWith("{") ? (JSON.parse(text) as unknown) : text };
}

const query = `query CheckDotcomUserAccessToken($token: String!) {
  dotcom { codyGatewayDotcomUserByToken(token: $token) {
    id username codyGatewayAccess { enabled chatCompletionsRateLimit { limit intervalSeconds } embeddingsRateLimit { limit } }
  } }
}`;

describe("the demo's Sourcegraph.com", () => {
  it("tells whose a token is, and no more of it than was asked for", async () => {
    await using dotcom = await started();
    dotcom.set({ id: 42, username: "ada", tokens: [userToken(42), userToken(42, 1)] });

    const { body } = await ask(dotcom, query, userToken(42, 1));

    expect(body).toEqual({
      data: {
        dotcom: {
          codyGatewayDotcomUserByToken: {
            id: "VXNlcjo0Mg==",
            username: "ada",
            codyGatewayAccess: {
              enabled: true,
              chatCompletionsRateLimit: { limit: "50", intervalSeconds: 86_400 },
              embeddingsRateLimit: null,
            },
          },
        },
      },
    });
  });

  it("says of nobody's token that there is no such user", async () => {
    await using dotcom = await started();

    expect((await ask(dotcom, query, userToken(1))).body).toMatchObject({
      errors: [{ extensions: { code: "ErrDotcomUserNotFound" } }],
      data: { dotcom: { codyGatewayDotcomUserByToken: null } },
    });
  });

  it("refuses callers without its access token, and fields that it does not have", async () => {
    await using dotcom = await started();
    dotcom.set({ id: 42, username: "ada" });

    expect((await ask(dotcom, query, userToken(42), "token other")).status).toBe(401);
    expect((await ask(dotcom, query.replace("username", "name"), userToken(42))).status).toBe(500);
    expect((await ask(dotcom, query.replace("}\n}", "}"), userToken(42))).status).toBe(500);
  });
});
