// Counters and histograms as plain numbers: an observation must cost next to nothing, and a library's costs half a
// microsecond. Written in https://prometheus.io/docs/instrumenting/exposition_formats/ when asked for.

import { createTupleMap } from "../lib/tuple-map.js";
import type { MetricName } from "./names.js";

/** Most lines of one metric: what asks for more counts under the label value `other`. */
const maxLines = 2_000;

/** One metric with its children, one for each combination of label values. */
export interface Series<T> {
  /** The child with these label values, in the order of the metric's labels. Keep it where it is used often. */
  at(...values: string[]): T;
  /** All lines of the metric. */
  text(): string;
}

export interface Counter {
  add(amount: number): void;
}

/** A counter, or with `type` a gauge that is moved up and down. */
export function createCounter(metric: MetricName, type: "counter" | "gauge" = "counter"): Series<Counter> {
  return createSeries(metric, type, 1, (values) => {
    const line = `${metric.name}${braces(metric.labels, values)}`;
    let total = 0;
    return {
      child: {
        add(amount) {
          total += amount;
        },
      },
      lines: () => [`${line} ${total}`],
    };
  });
}

export interface Histogram {
  observe(value: number): void;
}

export function createHistogram(metric: MetricName & { readonly buckets: readonly number[] }): Series<Histogram> {
  const { name, labels, buckets } = metric;
  return createSeries(metric, "histogram", buckets.length + 3, (values) => {
    const counts = buckets.map(() => 0);
    let count = 0;
    let sum = 0;
    return {
      child: {
        observe(value) {
          count += 1;
          sum += value;
          for (let at = 0; at < buckets.length; at++) {
            if (value <= (buckets[at] as number)) {
              counts[at] = (counts[at] as number) + 1;
              return;
            }
          }
        },
      },
      lines: () => {
        let below = 0;
        const bounds = buckets.map((bound, at) => {
          below += counts[at] as number;
          return `${name}_bucket${braces([...labels, "le"], [...values, String(bound)])} ${below}`;
        });
        const all = braces(labels, values);
        const infinite = `${name}_bucket${braces([...labels, "le"], [...values, "+Inf"])} ${count}`;
        return [...bounds, infinite, `${name}_sum${all} ${sum}`, `${name}_count${all} ${count}`];
      },
    };
  });
}

/** Numbers that are read when they are asked for, one for each value of the metric's only label. */
export function gaugeText(metric: MetricName, values: Iterable<readonly [label: string, value: number]>): string {
  const { name, help, labels } = metric;
  const lines = [...values].map(
    ([label, value]) => `${name}${labels.length > 0 ? braces(labels, [label]) : ""} ${value}`,
  );
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...lines, ""].join("\n");
}

interface Child<T> {
  readonly child: T;
  lines(): string[];
}

function createSeries<T>(
  { name, help, labels }: MetricName,
  type: string,
  linesEach: number,
  create: (values: readonly string[]) => Child<T>,
): Series<T> {
  const children = createTupleMap<Child<T>>();
  const maxChildren = Math.floor(maxLines / linesEach) - 1;
  const other = labels.map(() => "other");
  const make = (values: readonly string[]): T => {
    const made = create(values);
    children.set(values, made);
    return made.child;
  };
  return {
    at(...values) {
      const found = children.get(values);
      if (found) return found.child;
      return children.size() < maxChildren ? make(values) : (children.get(other)?.child ?? make(other));
    },
    text() {
      const lines = [...children.values()].flatMap((child) => child.lines());
      return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
    },
  };
}

function braces(labels: readonly string[], values: readonly string[]): string {
  if (labels.length === 0) return "";
  return `{${labels.map((label, at) => `${label}="${escape(values[at] ?? "")}"`).join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
