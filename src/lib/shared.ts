/**
 * Gives the same object for the same text, as long as it is among the `max` to twice as many that were asked for of late: where
 * thousands of things are equal, one of them is kept.
 */
export function createShared<T>(max: number): (text: string, make: () => T) => T {
  let young = new Map<string, T>();
  let old = young;
  return (text, make) => {
    const known = young.get(text);
    if (known !== undefined) return known;
    const found = old.get(text) ?? make();
    if (young.size >= max) {
      old = young;
      young = new Map();
    }
    young.set(text, found);
    return found;
  };
}
