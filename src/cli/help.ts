import { adminUsages } from "./admin-usages.js";

const usage: readonly (readonly [usage: string, sentence: string])[] = [
  ["serve", "Serve, as the environment and the configuration file say."],
  ["demo [--once]", "Serve with a made-up upstream: no key and no account needed."],
  ["config check [--json]", "Print everything that is wrong with the configuration."],
  ["config show [--json]", "Print the configuration in effect, secrets masked."],
  ["token license <key> [--json]", "Print the slk_ token of a licence key."],
  ["token pat <token> [--json]", "Print the sgd_ token of a Sourcegraph personal access token."],
  ["token admin <name> [--role viewer|operator] [--json]", "Make a token for an administrator."],
  ["admin sources [--watch]", "Show the sources of actors and how their syncs stand."],
  ["admin sync [source] [--dry-run] [--allow-shrink]", "Sync one source, or all, now."],
  ["admin actors [--source s] [--text t] [--over-limit] [--overridden] [--disabled]", "List actors."],
  ["admin actor <source/id>", "Show an actor: limits, usage, overrides, tokens."],
  ["admin refresh <source/id>", "Ask an actor's source for it now."],
  [
    "admin usage <source/id> [--feature f] [--user id] [--watch] [--reset]",
    "Show what an actor used, or start a feature's count anew.",
  ],
  [
    "admin explain <source/id> [--feature f] [--model m] [--tokens n] [--user id]",
    "Say whether a request would be let in, and why.",
  ],
  ["admin override [source/id] [access|limits|models ...]", "Show, set or (--clear) remove overrides."],
  ["admin revoke <token> [--expires 30d] [--lift]", "Refuse a token everywhere, or (--lift) no longer."],
  ["admin flagged [key --reason why] [--actor source/id] [--blocked]", "List flagged requests, or read a prompt."],
  ["admin alerts test --reason why", "Send a test alert to everybody who is to be alerted."],
  ["admin audit [--admin a] [--rpc r] [--since 24h]", "Show who changed what."],
  ["admin watch [source/id] [--source s] [--feature f]", "Show decisions and finished requests as they happen."],
  ["version [--json]", "Print the version."],
  ["help [command]", "Print this, or what a command takes."],
];

const notes: Readonly<Record<string, string>> = {
  token: "A key or token given as - is read from standard input, and so stays out of the shell's history.",
  admin:
    "CODY_GATEWAY_URL and CODY_GATEWAY_ADMIN_TOKEN say where the gateway is and who asks. --json prints the messages of the API,\n" +
    "one a line. --token - reads one of the actor's tokens from standard input, in place of source/id. What changes something\n" +
    "needs --reason; a refresh, and a sync without --allow-shrink, may have one. All that a command takes:\n" +
    "cody-gateway admin <command> --help. Overrides:\n\n" +
    "  override acme/1 access off --reason 'unpaid'\n" +
    "  override acme/1 limits chat_completions 500/24h 2000000tokens/30d --in-flight 20 --expires 7d --reason 'trial'\n" +
    "  override acme/1 models chat_completions 'anthropic/*' --reason 'contract'\n" +
    "  override acme/1 --clear limits/chat_completions --reason 'trial over'\n\n" +
    "Exit codes: 1 failed, 2 usage, 3 held by the shrink guard, 69 gateway unreachable.",
  config: "Exit code 78 when the configuration is wrong.",
};

/** What every option of an `admin` command says; undefined when there is no such command. */
export function helpOfAdmin(command: string): string | undefined {
  if (!Object.hasOwn(adminUsages, command)) return undefined;
  const [, sentence = ""] = usage.find(([text]) => text.startsWith(`admin ${command} `)) ?? [];
  return `${sentence}\n\n  ${adminUsages[command as keyof typeof adminUsages]}`;
}

/** All commands. */
export function overview(): string {
  return `cody-gateway: an access-control gateway for LLM services\n\n${table(usage)}\n
Settings are environment variables: see cody-gateway serve --help and docs/configuration.md.`;
}

/** What a command takes; undefined when there is no such command. */
export async function helpOf(command: string): Promise<string | undefined> {
  const own = usage.filter(([text]) => text.split(" ")[0] === command);
  if (own.length === 0) return undefined;
  const note = notes[command];
  return [table(own), ...(note ? [note] : []), ...(command === "serve" ? [await settings()] : [])].join("\n\n");
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([text]) => text.length));
  return rows.map(([text, sentence]) => `  cody-gateway ${text.padEnd(width)}  ${sentence}`).join("\n");
}

/** What reads settings is loaded for this alone: no other command's help, nor its version, waits for it. */
async function settings(): Promise<string> {
  const { describeSettings } = await import("../config.js");
  const lines: string[] = [];
  let section: string | undefined;
  for (const { name, default: text, sentence, secret, fallbacks, section: title } of describeSettings()) {
    if (title !== section) lines.push(...(section === undefined ? [] : [""]), `${title}:`);
    section = title;
    const also = fallbacks.length > 0 ? ` Else ${fallbacks.join(", ")}.` : "";
    lines.push(
      `  ${name}${text === undefined ? "" : ` (${text})`}`,
      `      ${sentence}${also}${secret ? " Secret." : ""}`,
    );
  }
  return lines.join("\n");
}
