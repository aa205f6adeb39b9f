// What deploy/ has for containers: it cannot be built here, but what it names must be there, and what it sets must be right.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { loadConfig } from "../../src/config.js";
import { upstreamKinds } from "../../src/gateway-upstreams.js";
import { readText } from "../docs/markdown.js";
import { testGateway } from "../helpers/gateway.js";

const root = resolve(import.meta.dirname, "../..");
const packageJson = JSON.parse(readText("package.json")) as { version: string; bin: Record<string, string> };

/** The settings of a gateway that is started so; fails with all that is wrong. */
function configOf(env: Readonly<Record<string, string>>, file: string) {
  const loaded = loadConfig(env, () => file, { kinds: upstreamKinds });
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  expect(loaded.config.notices).toEqual([]);
  return loaded.config;
}

describe("deploy/Dockerfile", () => {
  const dockerfile = readText("deploy/Dockerfile");

  it("copies what is there, and starts what is built", () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, from = ""]) => from.split(" "));
    for (const path of copied) expect(existsSync(resolve(root, path)), path).toBe(true);

    const [, command = "[]"] = /^ENTRYPOINT (.+)$/m.exec(dockerfile) ?? [];
    expect(JSON.parse(command)).toEqual(["node", "--disable-proto=delete", packageJson.bin["cody-gateway"]]);
  });
});

/** Whether the token that the example names is let in. */
async function letsIn(text: string): Promise<void> {
  const [, token = ""] = /"([\w-]*token[\w-]*)"/.exec(text) ?? [];
  await using gateway = await testGateway({ file: parse(text) as object });
  expect((await gateway.client({ token }).limits.getLimits({})).features.length).toBeGreaterThan(0);
}

describe("deploy/compose.yaml", () => {
  const { services } = parse(readText("deploy/compose.yaml")) as {
    services: { gateway: { environment: Record<string, string>; stop_grace_period: string } };
  };

  it("has an example whose token is let in", () => letsIn(readText("deploy/gateway.yaml")));

  it("sets what the gateway takes", () => {
    const { environment, stop_grace_period: grace } = services.gateway;
    const set = { ...environment, ANTHROPIC_API_KEY: "key", CODY_GATEWAY_ADMIN_TOKENS: "" };
    const { staticActors, drain } = configOf(set, readText("deploy/gateway.yaml"));

    expect(staticActors.map(({ actor }) => actor.id)).toEqual(["acme"]);
    expect(Number.parseInt(grace) * 60_000).toBeGreaterThan(drain.delayMs + drain.timeoutMs);
  });
});

describe("deploy/kubernetes.yaml", () => {
  const documents = parseAllDocuments(readText("deploy/kubernetes.yaml")).map((each) => each.toJS() as Manifest);
  const of = (kind: string): Manifest => documents.find((each) => each.kind === kind) ?? { kind };
  const { spec: pod } = of("Deployment").spec?.template ?? {};
  const [container] = pod?.containers ?? [];

  it("sets what the gateway takes, and waits until streams have finished", () => {
    const env = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
    const file = of("ConfigMap").data?.["gateway.yaml"] ?? "";
    const { staticActors, drain } = configOf({ ...env, ANTHROPIC_API_KEY: "key", REDIS_ENDPOINT: "redis:6379" }, file);

    expect(staticActors.map(({ actor }) => actor.id)).toEqual(["acme"]);
    expect((pod?.terminationGracePeriodSeconds ?? 0) * 1_000).toBeGreaterThan(drain.delayMs + drain.timeoutMs);
    expect(container?.ports.map(({ containerPort }) => String(containerPort))).toEqual([
      "9992",
      env["CODY_GATEWAY_ADMIN_PORT"],
    ]);
  });

  it("has an example whose token is let in", () => letsIn(of("ConfigMap").data?.["gateway.yaml"] ?? ""));

  it("is of this version", () => {
    expect(container?.image).toBe(`cody-gateway:${packageJson.version}`);
  });
});

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template?: {
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly {
          readonly image: string;
          readonly env: readonly { readonly name: string; readonly value: string }[];
          readonly ports: readonly { readonly containerPort: number }[];
        }[];
      };
    };
  };
}
