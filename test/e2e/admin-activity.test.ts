// What those who watch are told of requests that are refused.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ActivityOutcome,
  type WatchActivityRequestSchema,
  type WatchActivityResponse_Decision,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { ErrorReason, Feature } from "../../gen/codygateway/v1/common_pb.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { adminOf, adminTokens, viewerToken } from "../helpers/admin.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

const portal = "dotcom-product-subscriptions";
const acme = { source: "static", id: "acme" };

let ends: DemoBackEnds;
let gateway: TestGateway;
beforeAll(async () => {
  ends = await startDemoBackEnds();
  gateway = await testGateway({ env: { ...ends.env, CODY_GATEWAY_ADMIN_TOKENS: adminTokens } });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await ends.close();
});

async function chat(bearer = token, model = "gpt-4o"): Promise<Response> {
  const answer = await fetch(`${gateway.url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] }),
  });
  await answer.body?.cancel();
  return answer;
}

/** The first decision that is told to who asks for these, of requests that are made again and again until then. */
async function firstOf(
  request: MessageInitShape<typeof WatchActivityRequestSchema>,
  ask: () => Promise<Response>,
): Promise<{ readonly decision: WatchActivityResponse_Decision; readonly requestIds: readonly (string | null)[] }> {
  const requestIds: (string | null)[] = [];
  let decision: WatchActivityResponse_Decision | undefined;
  const watched = (async () => {
    const outcomes = [ActivityOutcome.REFUSED];
    for await (const { event } of adminOf(gateway, viewerToken).watchActivity({ ...request, outcomes })) {
      if (event.case !== "decision") continue;
      decision = event.value;
      return;
    }
  })();
  // Until the watch has begun nothing is told.
  while (!decision) requestIds.push((await ask()).headers.get("x-request-id"));
  await watched;
  return { decision, requestIds };
}

describe("those who watch", () => {
  it("are told of callers whose source does not know them", async () => {
    const { decision, requestIds } = await firstOf({ source: portal }, () => chat(`slk_${"0".repeat(64)}`));

    expect(decision).toMatchObject({
      activity: { actor: { source: portal, id: "unknown" }, actorName: "", feature: Feature.UNSPECIFIED },
      reason: ErrorReason.TOKEN_INVALID,
    });
    expect(decision.times).toBeGreaterThan(0);
    expect(requestIds).toContain(decision.activity?.requestId);
  });

  it("are told of actors whose access is switched off", async () => {
    const admin = adminOf(gateway);
    await admin.setActorOverride({
      actor: acme,
      subject: { case: "access", value: { enabled: false } },
      reason: "unpaid",
    });

    const { decision } = await firstOf({ actor: acme }, () => chat());

    expect(decision).toMatchObject({ activity: { actor: acme }, reason: ErrorReason.ACCESS_DISABLED });
    await admin.clearActorOverride({ actor: acme, which: { case: "all", value: true }, reason: "paid" });
  });

  it("are told which model was refused", async () => {
    const { decision } = await firstOf({ actor: acme }, () => chat(token, "no-such-model"));

    expect(decision).toMatchObject({
      activity: { actor: acme, actorName: "Acme Inc", model: "openai/no-such-model" },
      reason: ErrorReason.MODEL_NOT_ALLOWED,
      times: 1,
    });
  });
});
