/** How each `admin` command is written, with all that it takes: for its help, and for those who wrote it another way. */
export const adminUsages = {
  sources: "cody-gateway admin sources [--watch] [--json]",
  sync: "cody-gateway admin sync [source] [--dry-run] [--allow-shrink] [--reason why] [--json]",
  actors:
    "cody-gateway admin actors [--source s] [--text t] [--over-limit] [--overridden] [--disabled] [--order id|name|refreshed] [--descending] [--limit n] [--json]",
  actor: "cody-gateway admin actor <source/id> | --token - [--json]",
  refresh: "cody-gateway admin refresh <source/id> | --token - [--reason why] [--json]",
  usage: "cody-gateway admin usage <source/id> [--feature f] [--user id] [--watch] [--reset --reason why] [--json]",
  explain:
    "cody-gateway admin explain <source/id> | --token - [--feature f] [--model m] [--tokens n] [--user id] [--json]",
  override:
    "cody-gateway admin override [source/id] [access on|off | limits <feature> [limit …] | models <feature> [model …]] [--in-flight n] [--per-user limit|share|none] [--per-user-in-flight n] [--expires 7d] [--clear] [--reason why] [--json]",
  revoke: "cody-gateway admin revoke <token or -> | --id <token id> --reason why [--expires 30d | --lift] [--json]",
  flagged: "cody-gateway admin flagged [--actor source/id] [--blocked] [--json] | flagged <key> --reason why [--json]",
  alerts: "cody-gateway admin alerts test --reason why [--json]",
  audit: "cody-gateway admin audit [source/id] [--admin a] [--rpc r] [--since 24h] [--limit n] [--json]",
  watch: "cody-gateway admin watch [source/id] [--source s] [--feature f] [--json]",
} as const;
