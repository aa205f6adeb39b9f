// From environment variables to values: where a setting's text comes from, what is wrong with it, what has no effect.

import { type Environment, type ReadFile, readSecretFile } from "./secrets.js";
import { type Setting, type SettingValues, sections, settings, vendors } from "./settings.js";
import type { Problem } from "./types.js";
import { clientNames, ignored, ownPrefix } from "./without-effect.js";

/** A setting's text and the variable it came from. */
export interface Found {
  readonly text: string;
  readonly from: string;
}

export type Vendor = keyof typeof vendors;

export interface VendorValues {
  readonly key: string | undefined;
  readonly baseUrl: string;
  readonly models: readonly string[] | undefined;
}

/** Values are meaningful only when there are no problems. */
export interface EnvironmentReading {
  readonly values: SettingValues;
  readonly vendors: Readonly<Record<Vendor, VendorValues>>;
  /** Whether any vendor's key was set, readable or not. */
  readonly vendorKeySet: boolean;
  readonly problems: readonly Problem[];
  /** What is set and has no effect. */
  readonly notices: readonly string[];
}

/** Reads every setting; what is wrong with one does not keep the others from being read. */
export function readEnvironment(env: Environment, readFile: ReadFile): EnvironmentReading {
  const problems: Problem[] = [];
  const read = <T>(setting: Setting<T>): T | undefined => {
    const found = findText(setting, env, readFile);
    if (found && "message" in found) {
      problems.push(found);
      return undefined;
    }
    const result = setting.schema.safeParse(found?.text);
    if (result.success) return result.data;
    const source = found?.from ?? setting.name;
    problems.push(
      ...result.error.issues.map(({ message }) => ({ source, message: withText(message, setting, found) })),
    );
    return undefined;
  };
  // What is undefined against its type has left a problem.
  const readAll = (group: Readonly<Record<string, Setting>>) =>
    Object.fromEntries(Object.entries(group).map(([key, setting]) => [key, read(setting)]));
  const readVendor = (name: Vendor): VendorValues => {
    const { key, baseUrl, models } = vendors[name];
    return { key: read(key), baseUrl: read(baseUrl) ?? "", models: read(models) };
  };

  return {
    values: readAll(settings) as SettingValues,
    vendors: {
      anthropic: readVendor("anthropic"),
      openai: readVendor("openai"),
      fireworks: readVendor("fireworks"),
      google: readVendor("google"),
    },
    vendorKeySet: Object.values(vendors).some(({ key }) => namesOf(key).some((name) => env[name]?.trim())),
    problems,
    notices: noticesOf(env),
  };
}

/** The text of a setting: its variable, for secrets the file that `…_FILE` names, then its fallbacks. Empty is unset. */
export function findText(setting: Setting, env: Environment, readFile: ReadFile): Found | Problem | undefined {
  for (const name of [setting.name, ...setting.fallbacks]) {
    const text = env[name]?.trim();
    const fileName = `${name}_FILE`;
    const path = setting.secret ? env[fileName]?.trim() : undefined;
    if (text && path) return { source: fileName, message: `expected either this or ${name}, not both` };
    if (text) return { text, from: name };
    if (!path) continue;
    const reading = readSecretFile(path, readFile);
    return "secret" in reading
      ? { text: reading.secret, from: fileName }
      : { source: fileName, message: `expected ${reading.expected}` };
  }
  return undefined;
}

/** Short values of what is no secret are repeated, so that the reader sees which one is meant. */
function withText(message: string, setting: Setting, found: Found | undefined): string {
  const repeat = found && !setting.secret && /^[\w.,:%+ -]{1,24}$/.test(found.text);
  return repeat ? `${message}, not ${JSON.stringify(found.text)}` : message;
}

/** All variables that a setting is read from. */
function namesOf({ name, fallbacks, secret }: Setting): string[] {
  return [name, ...fallbacks].flatMap((each) => (secret ? [each, `${each}_FILE`] : [each]));
}

function noticesOf(env: Environment): string[] {
  const known = new Set(sections.flatMap((section) => section.settings.flatMap(namesOf)));
  const unread = Object.keys(env)
    .filter((name) => env[name]?.trim() && !known.has(name) && !clientNames.includes(name))
    .toSorted();
  const without = ignored.flatMap(({ names, why }) => {
    const set = unread.filter((name) => names.some((each) => matches(name, each)));
    return set.length > 0 ? [`${set.join(", ")}: no effect, ${why}`] : [];
  });
  const foreign = unread.filter(
    (name) => name.startsWith(ownPrefix) && !ignored.some(({ names }) => names.some((each) => matches(name, each))),
  );
  return [...without, ...foreign.map((name) => `${name}: no effect, there is no such setting (misspelt?)`)];
}

function matches(name: string, pattern: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern || name === `${pattern}_FILE`;
}
