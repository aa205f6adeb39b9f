/**
 * About how many tokens a text has: four characters each where it is ASCII, about one per character in scripts that
 * need three bytes for one. Good for holds, which the upstream's own count corrects; takes no time even for long texts.
 */
export function estimateTokens(text: string): number {
  const characters = text.length;
  return tokensOfSize({ characters, furtherBytes: Buffer.byteLength(text) - characters });
}

/** The same of a text of which only the size is known. */
export function tokensOfSize(text: { readonly characters: number; readonly furtherBytes: number }): number {
  return Math.ceil(text.characters / 4 + text.furtherBytes * 0.375);
}
