import { describe, expect, it } from "vitest";
import { type Config, formatProblem, loadConfig } from "../../src/config.js";

type Env = Readonly<Record<string, string>>;
const key = { ANTHROPIC_API_KEY: "key" };

function load(env: Env): Config {
  const loaded = loadConfig({ ...key, ...env }, () => "");
  if ("problems" in loaded) throw new Error(loaded.problems.map(formatProblem).join("\n"));
  return loaded.config;
}

function problemsOf(env: Env): string[] {
  const loaded = loadConfig({ ...key, ...env }, () => "");
  return "problems" in loaded ? loaded.problems.map(formatProblem) : [];
}

describe("loadConfig, what is behind actors", () => {
  it("has nothing unless it is told of it", () => {
    expect(load({})).toMatchObject({
      environment: "dev",
      enterprisePortal: undefined,
      sams: undefined,
      dotcom: undefined,
    });
  });

  it("takes the environment of the existing gateway", () => {
    const env = {
      CODY_GATEWAY_ENVIRONMENT: "prod",
      CODY_GATEWAY_ENTERPRISE_PORTAL_URL: "https://enterprise-portal.example.com/",
      SAMS_CLIENT_ID: "sams_cid_x",
      SAMS_CLIENT_SECRET: "sams_cs_y",
      CODY_GATEWAY_DOTCOM_ACCESS_TOKEN: "sgp_z",
      CODY_GATEWAY_DOTCOM_CLIENT_ID: "gateway",
    };
    const config = load(env);

    expect(config).toMatchObject({
      environment: "prod",
      enterprisePortal: { url: "https://enterprise-portal.example.com", protocol: "grpc" },
      sams: { url: "https://accounts.sourcegraph.com", clientId: "sams_cid_x", clientSecret: "sams_cs_y" },
      dotcom: {
        apiUrl: "https://sourcegraph.com/.api/graphql",
        accessToken: "sgp_z",
        clientId: "gateway",
        coolDownMs: 300_000,
      },
    });
    expect(config.notices.filter((notice) => /SAMS|DOTCOM|PORTAL|no actors/.test(notice))).toEqual([]);
    expect(load({ ...env, SAMS_API_URL: "https://sams.internal" }).sams?.url).toBe("https://sams.internal");
  });

  it("is for development where it says so, in the older words too; without a portal that has no effect, and is said", () => {
    const portal = { CODY_GATEWAY_ENTERPRISE_PORTAL_URL: "https://portal.example.com" };
    expect(load(portal).devLicensesOnly).toBe(false);
    for (const name of ["", "DOTCOM_"]) {
      const env = { [`CODY_GATEWAY_${name}DEV_LICENSES_ONLY`]: "true" };
      expect(load({ ...portal, ...env }).devLicensesOnly).toBe(true);
      expect(load(env).notices.join()).toContain("DEV_LICENSES_ONLY: no effect without CODY_GATEWAY_ENTERPRISE_PORTAL");
    }
    expect(load({ ...portal, CODY_GATEWAY_DOTCOM_INTERNAL_MODE: "true" }).devLicensesOnly).toBe(true);
  });

  it.each<[Env, string]>([
    [{ SAMS_CLIENT_ID: "x" }, "SAMS_CLIENT_SECRET: expected the secret of SAMS_CLIENT_ID"],
    [{ SAMS_CLIENT_SECRET: "y" }, "SAMS_CLIENT_ID: expected the client whose secret SAMS_CLIENT_SECRET is"],
    [
      { CODY_GATEWAY_ENTERPRISE_PORTAL_URL: "portal.example.com" },
      'CODY_GATEWAY_ENTERPRISE_PORTAL_URL: expected an http:// or https:// URL without user, query or fragment, not "portal.example.com"',
    ],
    [
      { CODY_GATEWAY_ENTERPRISE_PORTAL_PROTOCOL: "soap" },
      'CODY_GATEWAY_ENTERPRISE_PORTAL_PROTOCOL: expected grpc or connect, not "soap"',
    ],
  ])("says what is wrong with %o", (env, problem) => {
    expect(problemsOf(env)).toEqual([problem]);
  });

  it("sends tokens in clear within the machine, and elsewhere only where that is asked for", () => {
    const urls = (host: string): Env => ({
      CODY_GATEWAY_ENTERPRISE_PORTAL_URL: `http://${host}:1`,
      SAMS_URL: `http://${host}:2`,
      SAMS_CLIENT_ID: "x",
      SAMS_CLIENT_SECRET: "y",
      CODY_GATEWAY_DOTCOM_ACCESS_TOKEN: "z",
      CODY_GATEWAY_DOTCOM_API_URL: `http://${host}:3/.api/graphql`,
    });
    const expected = "expected an https:// URL, or one of this machine; INSECURE_DEV=true allows others";

    for (const host of ["127.0.0.1", "localhost", "[::1]"]) expect(problemsOf(urls(host)), host).toEqual([]);
    for (const host of ["portal.internal", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1"])
      expect(problemsOf(urls(host)), host).toEqual([
        `CODY_GATEWAY_ENTERPRISE_PORTAL_URL: ${expected}`,
        `SAMS_URL: ${expected}`,
        `CODY_GATEWAY_DOTCOM_API_URL: ${expected}`,
      ]);
    expect(problemsOf({ ...urls("portal.internal"), INSECURE_DEV: "1" })).toEqual([]);
    // What is not used may stand there.
    expect(problemsOf({ SAMS_URL: "http://sams.internal" })).toEqual([]);
  });

  it("says that a portal is called without a token", () => {
    const { notices } = load({ CODY_GATEWAY_ENTERPRISE_PORTAL_URL: "https://portal.example.com" });

    expect(notices).toContain(
      "SAMS_CLIENT_ID and SAMS_CLIENT_SECRET are not set: the Enterprise Portal is called without a token",
    );
  });
});
