// What BigQuery's answers mean: https://cloud.google.com/bigquery/docs/error-messages

import { fieldsOf } from "../../lib/fields.js";
import type { HttpAnswer } from "../../lib/http-caller.js";
import { EventsRefusedError, SinkBusyError } from "../sink.js";
import { type BigQueryTable, createTableCommand } from "./bigquery-table.js";

/** What is said of rows that are as they should be. `stopped`: for another's sake. */
const passing = /^(stopped|timeout|backendError|internalError|\w+Exceeded)$/;

/**
 * Of the `count` rows of a request those that are refused for good, by their place in it, and why. Throws when others are missing,
 * or it cannot be said which.
 */
export function refusedRows(json: unknown, count: number): ReadonlyMap<number, string> {
  const { insertErrors = [] } = fieldsOf(json);
  if (!isObject(json) || !Array.isArray(insertErrors)) throw unreadable();
  const refused = new Map<number, string>();
  let missing: string | undefined;
  for (const told of insertErrors) {
    const { index, errors } = fieldsOf(told);
    if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= count) throw unreadable();
    const { reason, location, message } = fieldsOf(Array.isArray(errors) ? errors[0] : undefined);
    const words = [reason, location, message].map(wordsOf).filter((part) => part !== undefined);
    if (typeof reason !== "string" || passing.test(reason)) missing = words[0] ?? "unknown";
    else refused.set(index, `BigQuery refuses it: ${words.join(": ")}`);
  }
  if (missing === undefined) return refused;
  const why = `BigQuery did not take all rows (${missing})`;
  // Who stops at a row that it refuses is to be asked for the others without it.
  throw refused.size > 0 ? new EventsRefusedError(why) : new Error(why);
}

/** What any other answer than 200 means for the batch. */
export function failureOf({ status, json, retryAfterMs }: HttpAnswer, table: BigQueryTable): Error {
  const reason = reasonOf(json);
  const said = `${status}${reason === undefined ? "" : ` ${reason}`}`;
  const name = `${table.project}:${table.dataset}.${table.table}`;
  if (status === 400 || status === 413) return new EventsRefusedError(`BigQuery answered ${said}`);
  if (status === 404)
    return new Error(
      `BigQuery has no table ${name} (${said}): make it, in a dataset that is there, with: ${createTableCommand(table)}`,
    );
  if (status === 401 || (status === 403 && !passing.test(reason ?? "")))
    return new Error(
      `BigQuery does not let the gateway write into ${name} (${said}): grant it roles/bigquery.dataEditor on the dataset`,
    );
  const message = `BigQuery answered ${said}`;
  return retryAfterMs === undefined ? new Error(message) : new SinkBusyError(message, retryAfterMs);
}

function reasonOf(json: unknown): string | undefined {
  const { errors, status } = fieldsOf(fieldsOf(json)["error"]);
  const { reason = status } = fieldsOf(Array.isArray(errors) ? errors[0] : undefined);
  return typeof reason === "string" && /^\w{1,60}$/.test(reason) ? reason : undefined;
}

/** What it says of a row, fit for a line of the log. */
function wordsOf(said: unknown): string | undefined {
  if (typeof said !== "string" || said === "") return undefined;
  return said.slice(0, 200).replaceAll(/[^\x20-\x7e]/g, " ");
}

function unreadable(): Error {
  return new Error("BigQuery's answer cannot be read");
}

function isObject(json: unknown): boolean {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
