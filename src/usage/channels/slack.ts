import { formatGoDuration } from "../../lib/duration.js";
import { createHttpCaller } from "../../lib/http-caller.js";
import type { Alert, AlertChannel } from "../alert.js";
import { targetKey } from "../target.js";
import { judge } from "./answers.js";

export interface SlackOptions {
  /** Where people find an actor; undefined: nowhere. */
  readonly linkOf?: (actor: Alert["actor"]) => string | undefined;
  /** How the gateway names itself. */
  readonly userAgent?: string;
  /** Default 15 s. */
  readonly timeoutMs?: number;
}

/** An incoming webhook of Slack, https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. `url` is a secret. */
export function createSlackChannel(url: string, options: SlackOptions = {}): AlertChannel {
  const { linkOf = () => undefined, timeoutMs = 15_000 } = options;
  // One for what is delivered, one for a test, which does not wait for it.
  const caller = createHttpCaller("Slack", { timeoutMs, connections: 2, userAgent: options.userAgent });
  return {
    name: "slack",
    key: targetKey("slack", url),
    async send(alert) {
      const text = textOf(alert, linkOf(alert.actor));
      const body = JSON.stringify({ text, blocks: [{ type: "section", text: { type: "mrkdwn", text } }] });
      judge(await caller.post({ url, headers: { "content-type": "application/json; charset=utf-8" }, body }));
    },
    close: caller.close,
  };
}

/** Longest name of somebody that a message repeats. A section's text may have 3,000 characters. */
const maxName = 200;

function textOf({ actor, reached, percent, at, test }: Alert, link: string | undefined): string {
  const { feature, unit, limit, windowMs, resetAt, models } = reached;
  const name = escape(actor.name || actor.id);
  const who = link === undefined ? `*${name}*` : `<${escape(link)}|${name}>`;
  const of = models ? ` of ${escape(models.join(", "))}` : "";
  const left = formatGoDuration(Math.max(0, Math.round((resetAt.getTime() - at.getTime()) / 1_000)) * 1_000);
  const what = `*${percent} %* of its limit of ${limit} ${unit} in ${formatGoDuration(windowMs)} for \`${escape(feature)}\`${of}`;
  const told = `${who} (${escape(`${actor.source}/${actor.id}`)}) has used ${what}. It resets in ${left}, at ${resetAt.toISOString()}.`;
  return test ? `*Test of the alerts of Cody Gateway; nothing has happened.* ${told}` : told;
}

/** What is no text of our own makes neither a link, nor a mention, nor a line. */
function escape(text: string): string {
  return text
    .slice(0, maxName)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
