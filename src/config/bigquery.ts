// Usage events in BigQuery: the variables of the existing gateway, and Google's own ways to say who one is.

import { type GoogleCredentials, googleMetadataHost, readGoogleCredentials } from "../lib/google-token.js";
import { isInClear } from "./back-ends.js";
import * as as from "./schemas.js";
import { fileExpected, type ReadFile } from "./secrets.js";
import { setting } from "./setting.js";
import type { BigQueryConfig, EventSinkConfig, Problem } from "./types.js";

const project = as.parsed("a project of Google Cloud, such as my-project", (words) =>
  /^[\w.:-]{1,128}$/.test(words) ? words : undefined,
);

/** Also a table's: BigQuery allows more in it, which nobody uses. */
const name = as.parsed("letters, digits and _", (words) => (/^\w{1,1024}$/.test(words) ? words : undefined));
const tableName = as.parsed("letters, digits, _ and -", (words) => (/^[\w-]{1,1024}$/.test(words) ? words : undefined));

const hostAndPort = /^[\w.-]+(:\d{1,5})?$/;
const host = as.parsed("host:port", (words) => (hostAndPort.test(words) ? words : undefined));

/** `host:port` or a URL; to a URL without a slash at its end. */
const emulator = as.parsed("host:port, or an http:// or https:// URL without user, query or fragment", (words) => {
  const read = as.baseUrl.safeParse(hostAndPort.test(words) ? `http://${words}` : words);
  return read.success ? read.data : undefined;
});

/** The settings. */
export const bigQuery = {
  bigQueryProject: setting(
    "CODY_GATEWAY_BIGQUERY_PROJECT_ID",
    project.optional(),
    "Project of Google Cloud that the sink `bigquery` writes to. Where it is set and `CODY_GATEWAY_EVENTS_SINKS` is not, usage events go there.",
    { fallbacks: ["GOOGLE_CLOUD_PROJECT"] },
  ),
  bigQueryDataset: setting("CODY_GATEWAY_BIGQUERY_DATASET", name.prefault("cody_gateway"), "The dataset in it."),
  bigQueryTable: setting("CODY_GATEWAY_BIGQUERY_TABLE", tableName.prefault("events"), "The table in that."),
  bigQueryWorkers: setting(
    "CODY_GATEWAY_BIGQUERY_EVENT_BUFFER_WORKERS",
    as.integer(0, 1_000).prefault("0"),
    "Requests to BigQuery at the same time, each with up to 500 events: at most 4. 0 is 1.",
  ),
  googleKeyFile: setting(
    "GOOGLE_APPLICATION_CREDENTIALS",
    as.text.optional(),
    "Key file of a service account (or credentials of a user) for BigQuery. Unset: who the machine says that the gateway is, as on Cloud Run.",
  ),
  metadataHost: setting(
    "GCE_METADATA_HOST",
    host.optional(),
    `Where the machine says that, \`host:port\`. Unset: \`${googleMetadataHost}\`.`,
  ),
  bigQueryEmulator: setting(
    "BIGQUERY_EMULATOR_HOST",
    emulator.optional(),
    "An emulator in place of BigQuery, `host:port` or a URL. It is called without a token, unless `GOOGLE_APPLICATION_CREDENTIALS` or `GCE_METADATA_HOST` is set.",
  ),
};

type Values = {
  readonly [K in keyof typeof bigQuery]: ReturnType<(typeof bigQuery)[K]["schema"]["parse"]>;
} & { readonly eventSinks: readonly EventSinkConfig[] | undefined; readonly insecureDev: boolean };

/** Where BigQuery is. */
const realUrl = "https://bigquery.googleapis.com";
const mostWorkers = 4;

/** Where usage events go: as it is said, else to BigQuery where a project is known, as with the existing gateway. */
export function eventSinksOf({ eventSinks, bigQueryProject }: Values): readonly EventSinkConfig[] {
  return eventSinks ?? [{ kind: bigQueryProject === undefined ? "stdout" : "bigquery" }];
}

/** What the settings mean together, and what is wrong with them. The key file is read where it is used. */
export function bigQueryOf(
  values: Values,
  readFile: ReadFile,
): { readonly bigQuery: BigQueryConfig | undefined; readonly problems: readonly Problem[] } {
  if (!isUsed(values)) return { bigQuery: undefined, problems: [] };
  const { bigQueryProject, bigQueryDataset, bigQueryTable, bigQueryWorkers, bigQueryEmulator } = values;
  const problems: Problem[] = [];
  if (bigQueryProject === undefined) {
    const message = "expected a project of Google Cloud for the sink bigquery (or in GOOGLE_CLOUD_PROJECT)";
    problems.push({ source: "CODY_GATEWAY_BIGQUERY_PROJECT_ID", message });
  }
  const credentials = credentialsOf(values, readFile);
  if (credentials && "expected" in credentials)
    return { bigQuery: undefined, problems: [...problems, keyProblem(credentials.expected)] };
  const config = {
    project: bigQueryProject ?? "",
    dataset: bigQueryDataset,
    table: bigQueryTable,
    baseUrl: bigQueryEmulator ?? realUrl,
    credentials,
    workers: Math.min(Math.max(bigQueryWorkers, 1), mostWorkers),
  };
  problems.push(...(values.insecureDev ? [] : inClear(config)));
  return { bigQuery: config, problems };
}

/** Tokens, and what they are had for, do not go over a network as they are. */
function inClear({ baseUrl, credentials }: BigQueryConfig): Problem[] {
  if (credentials === undefined) return [];
  const rule = "an https:// URL, or one of this machine; INSECURE_DEV=true allows others";
  return [
    ...(isInClear(baseUrl) ? [{ source: "BIGQUERY_EMULATOR_HOST", message: `expected ${rule}` }] : []),
    ...("tokenUrl" in credentials && isInClear(credentials.tokenUrl) ? [keyProblem(`${rule} as token_uri in it`)] : []),
  ];
}

function keyProblem(expected: string): Problem {
  return { source: "GOOGLE_APPLICATION_CREDENTIALS", message: `expected ${expected}` };
}

function credentialsOf(
  { googleKeyFile, metadataHost, bigQueryEmulator }: Values,
  readFile: ReadFile,
): GoogleCredentials | { readonly expected: string } | undefined {
  if (googleKeyFile !== undefined) {
    try {
      return readGoogleCredentials(readFile(googleKeyFile));
    } catch (error) {
      return { expected: fileExpected(googleKeyFile, error) };
    }
  }
  if (bigQueryEmulator !== undefined && metadataHost === undefined) return undefined;
  return { kind: "metadata", host: metadataHost ?? googleMetadataHost };
}

/** What an operator should know of them. */
export function bigQueryNotices(values: Values): string[] {
  const { eventSinks, bigQueryProject, bigQueryDataset, bigQueryTable, bigQueryWorkers } = values;
  if (isUsed(values)) {
    if (eventSinks !== undefined) return [];
    const place = `${bigQueryProject}.${bigQueryDataset}.${bigQueryTable}`;
    return [
      `usage events go to BigQuery (${place}) and not to standard output, for a project of Google Cloud is set; CODY_GATEWAY_EVENTS_SINKS says otherwise`,
    ];
  }
  const set = [
    bigQueryDataset !== "cody_gateway" && bigQuery.bigQueryDataset.name,
    bigQueryTable !== "events" && bigQuery.bigQueryTable.name,
    bigQueryWorkers !== 0 && bigQuery.bigQueryWorkers.name,
  ].filter((each) => each !== false);
  return set.length > 0 ? [`${set.join(", ")}: no effect, usage events do not go to BigQuery`] : [];
}

function isUsed(values: Values): boolean {
  return eventSinksOf(values).some(({ kind }) => kind === "bigquery");
}
