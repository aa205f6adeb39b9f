import { expect, it } from "vitest";
import { type Config, formatProblem, loadConfig, watchConfig } from "../../src/config.js";

/** A watched file whose text the test changes. */
function watched() {
  let text = "";
  let notify: (() => void) | undefined;
  const seen: string[] = [];
  const watch = watchConfig({
    load: () => loadConfig({ ANTHROPIC_API_KEY: "key", CODY_GATEWAY_CONFIG: "/gw.yaml" }, () => text),
    watch: (onChange) => {
      notify = onChange;
      return () => {
        notify = undefined;
      };
    },
    onConfig: ({ staticActors }: Config) => seen.push(`actors: ${staticActors.map(({ actor }) => actor.id).join()}`),
    onProblems: (problems) => seen.push(...problems.map(formatProblem)),
  });
  return {
    watch,
    seen,
    write: (next: string) => {
      text = next;
      notify?.();
    },
    isWatched: () => notify !== undefined,
    swap: (next: string) => {
      text = next;
    },
  };
}

const actor = (id: string) => `actors: [ { id: ${id}, tokens: [ { sha256: ${"a".repeat(64)} } ], limits: {} } ]`;

it("hands over the new configuration when its file changes", () => {
  const { seen, write } = watched();

  write(actor("acme"));
  write(actor("other"));

  expect(seen).toEqual(["actors: acme", "actors: other"]);
});

it("reports a broken file with line and reason, and hands nothing over", () => {
  const { seen, write } = watched();

  write(`${actor("acme")}\nactor: []`);

  expect(seen).toEqual([expect.stringMatching(/^\/gw\.yaml:2: actor: unknown key/)]);
});

it("reads the file again when asked to", () => {
  const { seen, watch, swap } = watched();
  swap(actor("acme"));

  watch.reload();

  expect(seen).toEqual(["actors: acme"]);
});

it("stops watching when closed", () => {
  const { watch, isWatched } = watched();

  watch.close();

  expect(isWatched()).toBe(false);
});
