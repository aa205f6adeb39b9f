import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createFileSink } from "../../../src/usage/sinks/file.js";
import { describeSink, eventsIn, makeEvent } from "../../contract/sink.js";

let root: string;
let made = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "file-sink-"));
});
afterAll(() => rm(root, { recursive: true }));

async function makeFolder(): Promise<string> {
  const folder = join(root, `${made++}`);
  await mkdir(folder);
  return folder;
}

describeSink("file", async () => {
  const folder = await makeFolder();
  const path = join(folder, "events.jsonl");
  return {
    sink: createFileSink(path),
    received: async () => eventsIn(await readFile(path, "utf8").catch(() => "")),
    breakOff: () => rename(folder, `${folder}-away`),
    mend: () => rename(`${folder}-away`, folder),
  };
});

it("goes on in a new file when the old one was moved away", async () => {
  const path = join(await makeFolder(), "events.jsonl");
  const sink = createFileSink(path);
  await sink.send([makeEvent({ id: "1" })]);
  await rename(path, `${path}.1`);

  await sink.send([makeEvent({ id: "2" })]);

  expect(eventsIn(await readFile(`${path}.1`, "utf8")).map(({ id }) => id)).toEqual(["1"]);
  expect(eventsIn(await readFile(path, "utf8")).map(({ id }) => id)).toEqual(["2"]);
});

it("makes a file that others cannot read", async () => {
  const path = join(await makeFolder(), "events.jsonl");

  await createFileSink(path).send([makeEvent()]);

  expect((await stat(path)).mode & 0o007).toBe(0);
});
