import { expect, it } from "vitest";
import { loadPepper } from "../src/gateway-data.js";
import { openDatabase } from "../src/lib/database.js";
import { dataDir } from "./helpers/data-dir.js";

async function pepperIn(path: string): Promise<string> {
  const database = await openDatabase(path);
  try {
    return await loadPepper(database);
  } finally {
    await database.close();
  }
}

it("makes a pepper at the first start and keeps it: one for each data directory", async () => {
  await using dir = await dataDir();
  await using other = await dataDir();
  const first = await pepperIn(dir.path);
  expect(first).toMatch(/^[\w-]{43}$/);
  expect(await pepperIn(dir.path)).toBe(first);
  expect(await pepperIn(other.path)).not.toBe(first);
});
