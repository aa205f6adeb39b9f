// Strangers come by the hundred: those who are known need not wait until all of them are turned away.

import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { testGateway, token } from "../helpers/gateway.js";
import { rawConnect } from "../helpers/raw-http.js";

const strangers = 200;

const request = (start: string, bearer: string, body = ""): string =>
  [
    `${start} HTTP/1.1`,
    "host: gateway",
    `authorization: Bearer ${bearer}`,
    ...(body === ""
      ? []
      : ["content-type: application/json", "connect-protocol-version: 1", `content-length: ${body.length}`]),
    "",
    body,
  ].join("\r\n");

const getLimits = "POST /codygateway.v1.LimitsService/GetLimits";

it.each([
  ["over HTTP", "GET /v1/limits", "", "", 401],
  ["over Connect", getLimits, "{}", "{}", 401],
  // It is refused for that when it is read, whoever sent it.
  ["over Connect with what cannot be read", getLimits, "{}", "{", 400],
])("%s, one who is known is answered before most of them", async (_, start, body, theirs, refused) => {
  await using test = await testGateway();
  const { port } = test.gateway;
  const crowd = await Promise.all(Array.from({ length: strangers }, () => rawConnect(port)));
  const known = await rawConnect(port);
  // Taken in, which they are one by one.
  for (const connection of [...crowd, known]) connection.send("GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n");
  for (const connection of [...crowd, known]) await connection.reply();
  // The first call of a gateway has to wait for what checks its message.
  known.send(request(start, token, body));
  await known.reply();
  const received = crowd.map((stranger) => stranger.received);

  for (const stranger of crowd) stranger.send(request(start, `slk_${randomBytes(32).toString("hex")}`, theirs));
  known.send(request(start, token, body));
  const answer = await known.reply();
  const answered = crowd.filter((stranger, at) => stranger.received !== received[at]).length;

  expect(answer?.status).toBe(200);
  expect(answered).toBeLessThan(strangers / 2);
  const all = await Promise.all(crowd.map((stranger) => stranger.reply()));
  expect(all.map((reply) => reply?.status)).toEqual(all.map(() => refused));
  for (const connection of [...crowd, known]) connection.destroy();
});
