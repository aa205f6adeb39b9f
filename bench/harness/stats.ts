// Figures of several rounds, condensed.

/** One measurement: figure → value. */
export type Sample = Readonly<Record<string, number>>;

/** A figure over all rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The spread of each figure the samples have. */
export function spreads(samples: readonly Sample[]): Record<string, Spread> {
  const figures = [...new Set(samples.flatMap((sample) => Object.keys(sample)))];
  return Object.fromEntries(
    figures.map((figure) => [figure, spread(samples.map((sample) => sample[figure] ?? Number.NaN))]),
  );
}

function spread(values: readonly number[]): Spread {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1
      ? sorted[middle]
      : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
  return { median: median ?? Number.NaN, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}
