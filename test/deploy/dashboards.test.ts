// Dashboard and alerting rules, held against what a gateway's /metrics have.

import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type MetricName, names } from "../../src/telemetry/names.js";
import { readText, tableBelow } from "../docs/markdown.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";
import { type RedisServer, startRedis } from "../helpers/redis.js";
import { labelsIn, selectorsOf } from "./promql.js";

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: string | { query: string } }[];
  };
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const files = { dashboard: "deploy/dashboards/cody-gateway.json", rules: "deploy/dashboards/rules.yaml" };
const dashboard = JSON.parse(readText(files.dashboard)) as Dashboard;
const rules = (parse(readText(files.rules)) as { groups: { name: string; rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);

const panels = dashboard.panels.filter(({ type }) => type !== "row");
const targets = panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));
const queries = dashboard.templating.list.flatMap(({ name, query }) => {
  if (typeof query === "string") return [];
  const [, selector = "", label = ""] = /^label_values\((.*), (\w+)\)$/.exec(query.query) ?? [];
  return [[`variable ${name}`, `count by (${label}) (${selector})`] as const];
});

/** Where it stands, and what it asks. */
const expressions: readonly (readonly [string, string])[] = [
  ...targets.map(({ title, refId, expr }) => [`panel ${title} ${refId}`, expr] as const),
  ...queries,
  ...rules.map(({ alert, expr }) => [`rule ${alert}`, expr] as const),
];

let redis: RedisServer;
let gateway: TestGateway;
/** Names of /metrics, as they can be asked for → labels. */
let metrics: ReadonlyMap<string, ReadonlySet<string>>;

beforeAll(async () => {
  // Some metrics are there with Redis only.
  redis = await startRedis();
  gateway = await testGateway({ env: { REDIS_ENDPOINT: redis.endpoint } });
  metrics = readMetrics(await (await fetch(`${gateway.url}/metrics`)).text());
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

/** Prometheus adds these to whatever it scrapes. */
const ofScraper = ["job", "instance"];

/** Of metrics of the process that have no line before something has happened. */
const labelsOfProcess: Readonly<Record<string, readonly string[]>> = { nodejs_gc_duration_seconds: ["kind"] };

function readMetrics(text: string): Map<string, Set<string>> {
  const declared = new Map<string, MetricName>(Object.values(names).map((metric) => [metric.name, metric]));
  const found = new Map<string, Set<string>>();
  for (const [, name = "", type = ""] of text.matchAll(/^# TYPE (\w+) (\w+)$/gm)) {
    const labels = [...(declared.get(name)?.labels ?? labelsOfProcess[name] ?? []), ...ofScraper];
    if (type !== "histogram") found.set(name, new Set(labels));
    else {
      found.set(`${name}_bucket`, new Set([...labels, "le"]));
      found.set(`${name}_sum`, new Set(labels));
      found.set(`${name}_count`, new Set(labels));
    }
  }
  for (const [, name = "", labels = ""] of text.matchAll(/^(\w+)\{(.*)\} /gm)) {
    for (const [, label = ""] of labels.matchAll(/(\w+)="/g)) found.get(name)?.add(label);
  }
  return found;
}

describe("what dashboard and rules ask for", () => {
  it("are metrics that the gateway has", () => {
    const unknown = expressions.flatMap(([where, expr]) => {
      const asked = selectorsOf(expr);
      if (asked.length === 0) return [`${where}: no metric`];
      return asked.filter(({ metric }) => !metrics.has(metric)).map(({ metric }) => `${where}: ${metric}`);
    });
    expect(unknown).toEqual([]);
  });

  it("are labels that the metric has", () => {
    const unknown = expressions.flatMap(([where, expr]) => {
      const asked = selectorsOf(expr);
      const matched = asked.flatMap(({ metric, matchers }) =>
        matchers.filter(({ label }) => !metrics.get(metric)?.has(label)).map(({ label }) => `${metric} ${label}`),
      );
      const all = new Set(asked.flatMap(({ metric }) => [...(metrics.get(metric) ?? [])]));
      const grouped = labelsIn(expr).filter((label) => !all.has(label));
      return [...matched, ...grouped].map((what) => `${where}: ${what}`);
    });
    expect(unknown).toEqual([]);
  });

  it("are values that are documented for the label", () => {
    const text = readText("docs/operations.md");
    const told = new Map(tableBelow(text, "## Metrics").map(([name = "", , meaning = ""]) => [name, wordsOf(meaning)]));
    const errors = tableBelow(text, "## Errors").map(([reason = ""]) => reason);
    const [outcomes = ""] = text.slice(text.indexOf("| `outcome` | meaning |")).split("\n\n", 1);
    const [ofProcess = ""] = text.slice(text.indexOf("Beside them stand `process_*`")).split("\n\n", 1);
    const wordsFor = (metric: string) =>
      /^(nodejs|process)_/.test(metric) ? wordsOf(ofProcess) : told.get(documented(metric));
    const known = new Set([...errors, ...[...outcomes.matchAll(/^\| `(\w+)`/gm)].map(([, outcome]) => outcome)]);
    const unknown = expressions.flatMap(([where, expr]) =>
      selectorsOf(expr).flatMap(({ metric, matchers }) =>
        matchers
          .filter(({ value }) => !value.startsWith("$"))
          .flatMap(({ value }) => value.split("|"))
          .filter((value) => !known.has(value) && !wordsFor(metric)?.includes(value))
          .map((value) => `${where}: ${value}`),
      ),
    );
    expect(unknown).toEqual([]);
  });
});

/** Histograms are documented by the name that their parts have in common. */
function documented(metric: string): string {
  return metric.replace(/_(?:bucket|sum|count)$/, "");
}

function wordsOf(text: string): string[] {
  return text.match(/\w+/g) ?? [];
}

describe(files.dashboard, () => {
  it("has panels that say what they show, and in what", () => {
    const lacking = panels.filter(
      ({ title, description, fieldConfig, targets }) =>
        !title ||
        !description ||
        !fieldConfig?.defaults.unit ||
        !targets?.every(({ expr, legendFormat }) => expr && legendFormat),
    );
    expect(panels.length).toBeGreaterThan(30);
    expect(lacking.map(({ title }) => title)).toEqual([]);
  });

  it("has no id, title or place twice", () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
    );
    for (const all of [dashboard.panels.map(({ id }) => id), dashboard.panels.map(({ title }) => title), cells]) {
      expect(all.filter((each, at) => all.indexOf(each as never) !== at)).toEqual([]);
    }
    expect(dashboard.panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
  });

  it("names in its legends what its expressions are grouped by", () => {
    const wrong = targets.filter(({ expr, legendFormat }) =>
      [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].some(([, label = ""]) => !labelsIn(expr).includes(label)),
    );
    expect(wrong).toEqual([]);
  });

  it("uses variables that it has", () => {
    const used = [...readText(files.dashboard).matchAll(/\$\{?([a-z]\w*)/g)].map(([, name]) => name);
    const has = dashboard.templating.list.map(({ name }) => name);
    expect([...new Set(used)].toSorted()).toEqual(has.toSorted());
  });
});

describe(files.rules, () => {
  it("has rules that say how bad it is, what it means and where to read on", () => {
    const lacking = rules.filter(
      ({ alert, labels, annotations: { summary, description } }) =>
        !/^CodyGateway\w+$/.test(alert) ||
        !["critical", "warning"].includes(labels.severity) ||
        !summary.endsWith(".") ||
        !/docs\/\w+\.md/.test(description),
    );
    expect(rules.length).toBeGreaterThan(20);
    expect(lacking.map(({ alert }) => alert)).toEqual([]);
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });

  it("says in its texts labels that the alert has", () => {
    const wrong = rules.filter(({ expr, annotations }) => {
      const asked = selectorsOf(expr).flatMap(({ metric }) => [...(metrics.get(metric) ?? [])]);
      const used = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)].map(([, label = ""]) => label);
      const left = /\bby \(/.test(expr) ? labelsIn(expr) : asked;
      return used.some((label) => !left.includes(label));
    });
    expect(wrong.map(({ alert }) => alert)).toEqual([]);
  });
});

describe.each(Object.values(files))("links of %s", (file) => {
  it("lead to headings that are there", () => {
    const links = [...readText(file).matchAll(/(docs\/[\w-]+\.md)(?:#([\w-]+))?/g)];
    const broken = links.filter(([, path = "", anchor]) => {
      if (!existsSync(path)) return true;
      return anchor !== undefined && !anchorsOf(readText(path)).includes(anchor);
    });
    expect(links).not.toEqual([]);
    expect(broken.map(([link]) => link)).toEqual([]);
  });
});

/** As GitHub makes them of headings. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  );
}
