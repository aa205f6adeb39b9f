import { type Arbitrary, integer } from "fast-check";

/** So many code points are halves of characters beyond the first plane, and where they begin. */
const halves = 0x800;
const firstHalf = 0xd800;

/** Any character, halves left out: fast-check's own unit `binary`, which makes a list of all million of them first. */
export const anyCharacter: Arbitrary<string> = integer({ min: 0, max: 0x10ffff - halves }).map((at) =>
  String.fromCodePoint(at < firstHalf ? at : at + halves),
);
