/**
 * How often the event loop turned while `work` was done, which should be more often than `enough`. A machine that is busy may
 * keep a process from its turns, but not each time: the most of five.
 */
export async function turnsDuring(work: () => Promise<unknown>, enough: number): Promise<number> {
  let most = 0;
  for (let attempt = 0; attempt < 5 && most <= enough; attempt++) {
    let turns = 0;
    let done = false;
    const working = work().finally(() => (done = true));
    while (!done) {
      turns++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await working;
    most = Math.max(most, turns);
  }
  return most;
}
