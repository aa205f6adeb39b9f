// The metrics of several processes as one: https://prometheus.io/docs/instrumenting/exposition_formats/

/** Gauges of which the largest is told, and the smallest: of the others, and of counters and histograms, the sum. */
const largest =
  /lag|_info$|start_time|uptime|max_fds|heap_used_ratio$|heap_growth_ratio$|actors_known$|sync_age|sync_held$|keys_resting$|models_unavailable$/;
const smallest = /_up$/;

/** Adds up texts in the Prometheus format that come from processes of one kind. */
export function mergeMetrics(texts: readonly string[]): string {
  const comments = new Map<string, string[]>();
  const series = new Map<string, Map<string, number>>();
  for (const text of texts) {
    let metric = "";
    for (const line of text.split("\n")) {
      if (line.startsWith("# ")) {
        const [, word = "", name = ""] = line.split(" ", 3);
        metric = name;
        if (!comments.has(name)) comments.set(name, []);
        const told = comments.get(name) as string[];
        if (told.length < 2 && !told.some((each) => each.startsWith(`# ${word} `))) told.push(line);
      } else if (line !== "") add(series, metric, line);
    }
  }
  const lines = [...series].flatMap(([metric, values]) => [
    ...(comments.get(metric) ?? []),
    ...[...values].map(([key, value]) => `${key} ${value}`),
  ]);
  return `${lines.join("\n")}\n`;
}

function add(series: Map<string, Map<string, number>>, metric: string, line: string): void {
  const space = line.lastIndexOf(" ");
  const key = line.slice(0, space);
  const value = Number(line.slice(space + 1));
  if (!series.has(metric)) series.set(metric, new Map());
  const values = series.get(metric) as Map<string, number>;
  const before = values.get(key);
  if (before === undefined) values.set(key, value);
  else if (largest.test(metric)) values.set(key, Math.max(before, value));
  else values.set(key, smallest.test(metric) ? Math.min(before, value) : before + value);
}
