import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { apiReference } from "../../docs/generate-api.js";

const file = resolve(import.meta.dirname, "../../docs/api.md");

describe("docs/api.md", () => {
  // `npm run docs:api` writes it anew.
  it("is what its script makes of the proto files", () => {
    expect(readFileSync(file, "utf8")).toBe(apiReference());
  });

  it("has no link that leads nowhere, and no anchor twice", () => {
    const text = readFileSync(file, "utf8");
    const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) => slug(title));
    const links = [...text.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor);

    expect(links.filter((anchor) => !anchors.includes(anchor ?? ""))).toEqual([]);
    expect(anchors.filter((anchor, index) => anchors.indexOf(anchor) !== index)).toEqual([]);
  });
});

/** How GitHub makes an anchor of a heading. */
function slug(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\w -]/g, "")
    .replaceAll(" ", "-");
}
