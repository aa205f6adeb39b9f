import { getHeapStatistics } from "node:v8";
import { names } from "./names.js";
import { gaugeText } from "./series.js";

/** How large the heap of this process may become, and how close to that it is. */
export function heapText(): string {
  const { heap_size_limit: limit, used_heap_size: used } = getHeapStatistics();
  return [gaugeText(names.heapLimit, [["", limit]]), gaugeText(names.heapUsed, [["", used / limit]])].join("\n");
}
