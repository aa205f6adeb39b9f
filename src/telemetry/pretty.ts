const colors = { debug: "\u001b[2m", info: "\u001b[32m", warn: "\u001b[33m", error: "\u001b[31m" } as const;
const reset = "\u001b[0m";

/** A line of JSON as one for people: `03:14:15.926 INFO  listening  port=9992 host=0.0.0.0`. */
export function prettyLine(json: string, color: boolean): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as {
    level: keyof typeof colors;
    time: string;
    msg: string;
  };
  const paint = (text: string, code: string): string => (color ? `${code}${text}${reset}` : text);
  const pairs = Object.entries(fields).map(([name, value]) => `${paint(`${name}=`, colors.debug)}${show(value)}`);
  const clock = paint(time.slice(11, 23), colors.debug);
  const head = `${clock} ${paint(level.toUpperCase().padEnd(5), colors[level])} ${msg.replace(/[\r\n\t]+/g, " ")}`;
  return `${[head, ...pairs].join("  ")}\n`;
}

/** Plain words as they are, everything else as JSON: that keeps it on the line. */
function show(value: unknown): string {
  return typeof value === "string" && /^[^\s"\\=]{1,200}$/.test(value) ? value : JSON.stringify(value);
}
