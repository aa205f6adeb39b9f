/** What stands between two others on the screen: with accents and all that belongs to it. */
const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Chinese, Japanese and Korean, their signs, and pictures: two places each. https://www.unicode.org/reports/tr11/ */
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{17000}-\u{18cff}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u;
/** Accents without a letter. */
const empty = /^\p{M}+$/u;
const plain = /^[\x20-\x7e]*$/;

/** How many places a terminal takes for `text`. */
export function widthOf(text: string): number {
  if (plain.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += widthOfOne(segment);
  return width;
}

/** As much of `text` as has room, with `…` where something is left out. */
export function fitted(text: string, places: number): string {
  if (widthOf(text) <= places) return text;
  let [kept, width] = ["", 1];
  for (const { segment } of graphemes.segment(text)) {
    width += widthOfOne(segment);
    if (width > places) break;
    kept += segment;
  }
  return `${kept}…`;
}

function widthOfOne(grapheme: string): number {
  if (empty.test(grapheme)) return 0;
  return wide.test(grapheme) ? 2 : 1;
}
