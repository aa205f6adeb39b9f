import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Key, pageOf, pageOfMatching } from "../../src/api/admin-page.js";

interface Item {
  readonly name: string;
  readonly id: string;
}

const order = { keyOf: ({ name, id }: Item): Key => [name, id] };

async function readAll(items: readonly Item[], pageSize: number, descending = false): Promise<Item[]> {
  const found: Item[] = [];
  let pageToken = "";
  do {
    const page = await pageOf(items, { ...order, descending }, { pageSize, pageToken, query: "all" });
    found.push(...page.items);
    expect(page.items.length).toBeLessThanOrEqual(pageSize);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return found;
}

const byKey = (a: Item, b: Item): number => (a.name === b.name ? (a.id < b.id ? -1 : 1) : a.name < b.name ? -1 : 1);

describe("pages", () => {
  it("hold every item once, in order, whatever the size of the list and of the pages", async () => {
    const list = fc.uniqueArray(fc.record({ name: fc.constantFrom("a", "b", "c"), id: fc.string({ minLength: 1 }) }), {
      selector: ({ name, id }) => `${name}\n${id}`,
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(list, fc.integer({ min: 1, max: 20 }), fc.boolean(), async (items, size, descending) => {
        const sorted = items.toSorted(byKey);
        expect(await readAll(items, size, descending)).toEqual(descending ? sorted.toReversed() : sorted);
      }),
    );
  });

  it("neither repeat nor hide items when others come and go between them", async () => {
    const items = Array.from({ length: 10 }, (_, index) => ({ name: "n", id: `i${index}` }));
    const first = await pageOf(items, order, { pageSize: 4, pageToken: "", query: "" });
    const changed = [{ name: "n", id: "a-new" }, ...items.filter(({ id }) => id !== "i1" && id !== "i3")];
    const second = await pageOf(changed, order, { pageSize: 100, pageToken: first.nextPageToken, query: "" });

    expect(second.items.map(({ id }) => id)).toEqual(["i4", "i5", "i6", "i7", "i8", "i9"]);
  });

  it("refuse a token of another list, or none at all", async () => {
    const items = [
      { name: "a", id: "1" },
      { name: "b", id: "2" },
    ];
    const { nextPageToken } = await pageOf(items, order, { pageSize: 1, pageToken: "", query: "one" });

    for (const pageToken of [nextPageToken, "nonsense", Buffer.from("[1]").toString("base64url")]) {
      await expect(pageOf(items, order, { pageSize: 1, pageToken, query: "other" })).rejects.toMatchObject({
        reason: "INVALID_REQUEST",
        field: "page_token",
      });
    }
  });

  it("go on from the last item looked at where few match", async () => {
    const items = Array.from({ length: 1_000 }, (_, index) => ({ name: "n", id: String(index).padStart(4, "0") }));
    const wanted = (some: readonly Item[]) => Promise.resolve(some.filter(({ id }) => id.endsWith("99")));
    const found: string[] = [];
    let pageToken = "";
    let pages = 0;
    do {
      const page = await pageOfMatching(items, order, { pageSize: 3, pageToken, query: "" }, wanted, 300);
      found.push(...page.items.map(({ id }) => id));
      pageToken = page.nextPageToken;
      pages++;
    } while (pageToken !== "");

    expect(found).toEqual(["0099", "0199", "0299", "0399", "0499", "0599", "0699", "0799", "0899", "0999"]);
    expect(pages).toBeGreaterThan(3);
  });
});
