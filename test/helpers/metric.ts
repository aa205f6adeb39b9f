/** The value of one series of a gateway, by its name and labels as they are written; NaN: it is not there. */
export async function metricOf({ url }: { readonly url: string }, series: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length) ?? Number.NaN);
}
