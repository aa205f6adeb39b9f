// The configuration for people: what can be set, and what is.

import * as z from "zod";
import { findText } from "./environment.js";
import type { Environment, ReadFile } from "./secrets.js";
import { type Setting, sections } from "./settings.js";
import type { Config } from "./types.js";
import { ignored } from "./without-effect.js";

/** One variable, as `--help` shows it. */
export interface SettingDescription {
  readonly section: string;
  readonly name: string;
  /** Text of the default; undefined when there is none. */
  readonly default: string | undefined;
  readonly sentence: string;
  /** Whether `NAME_FILE` may be set in its place. */
  readonly secret: boolean;
  /** Variables that are read when it is unset. */
  readonly fallbacks: readonly string[];
}

/** All variables, in the order in which they are shown. */
export function describeSettings(): SettingDescription[] {
  return sections.flatMap(({ title, settings }) =>
    settings.map((setting) => {
      const { name, sentence, secret, fallbacks } = setting;
      return { section: title, name, default: defaultText(setting), sentence, secret, fallbacks };
    }),
  );
}

function defaultText({ schema }: Setting): string | undefined {
  return schema instanceof z.ZodPrefault ? String(schema.def.defaultValue) : undefined;
}

/** The tables of docs/configuration.md. */
export function renderSettings(): string {
  const described = describeSettings();
  const tables = sections.map(({ title }) => {
    const rows = described.filter(({ section }) => section === title).map(renderRow);
    return [`### ${title}`, "", "| variable | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
  });
  const rows = ignored.map(({ names, why }) => `| ${names.map(code).join(", ")} | ${why} |`);
  const without = ["### Without effect", "", "| variables | why |", "| --- | --- |", ...rows].join("\n");
  return [...tables, without].join("\n\n");
}

function renderRow({ name, default: text, sentence, secret, fallbacks }: SettingDescription): string {
  const notes = [sentence];
  if (fallbacks.length > 0) notes.push(`Where it is unset, ${fallbacks.map(code).join(", ")} is read.`);
  if (secret) notes.push("Secret.");
  return `| ${code(name)} | ${text === undefined ? "–" : code(text)} | ${notes.join(" ")} |`;
}

function code(text: string): string {
  return `\`${text}\``;
}

/** What stands in place of a secret: neither its length nor a part of it. */
const mask = "********";

/** A configuration that may be shown to anybody: secrets are masked. */
export interface ShownConfig {
  readonly settings: readonly { readonly name: string; readonly value: string | undefined; readonly from: string }[];
  readonly providers: readonly object[];
  readonly models: readonly object[];
  readonly actors: readonly object[];
  readonly quotaStoreFailure: object;
  readonly perUserLimits: object;
  readonly alerts: readonly object[];
  /** Rules of the checks of prompts, by provider; `*` for all others. */
  readonly flagging: object;
  readonly notices: readonly string[];
}

/** What is in effect, and where it comes from. `env` and `readFile` are those that `config` was loaded with. */
export function showConfig(config: Config, env: Environment, readFile: ReadFile): ShownConfig {
  return {
    settings: sections.flatMap((section) => section.settings.map((setting) => showSetting(setting, env, readFile))),
    providers: config.upstreams.map(({ keys, models, embeddings, ...rest }) => ({
      ...rest,
      keys: keys.map((key) => ({ ...key, value: mask })),
      models: models ?? "default",
      embeddings: { ...embeddings, models: embeddings.models ?? "default" },
    })),
    models: config.models,
    actors: config.staticActors.map(({ actor, tokenSha256 }) => ({
      id: actor.id,
      name: actor.name,
      tokens: tokenSha256.length,
      features: actor.features,
    })),
    quotaStoreFailure: config.quotaStoreFailure,
    perUserLimits: config.perUserLimits,
    alerts: config.alerts.map(({ url, secret, ...rest }) => ({
      ...rest,
      url: rest.kind === "slack" ? mask : `${new URL(url).origin}/${mask}`,
      ...(secret !== undefined && { secret: mask }),
    })),
    flagging: Object.fromEntries([["*", config.flagging.policy.common ?? "none"], ...config.flagging.policy.upstreams]),
    notices: config.notices,
  };
}

function showSetting(setting: Setting, env: Environment, readFile: ReadFile) {
  const { name, secret, masked = () => mask } = setting;
  const found = findText(setting, env, readFile);
  if (found === undefined || "message" in found) return { name, value: defaultText(setting), from: "default" };
  return {
    name,
    value: secret ? masked(found.text, mask) : found.text,
    from: found.from === name ? "environment" : found.from,
  };
}
