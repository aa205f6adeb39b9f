/** How the process ends. 78 and 69 as in sysexits.h; 3: the shrink guard held a sync. */
export const exitCodes = { done: 0, failed: 1, usage: 2, held: 3, unreachable: 69, configuration: 78 } as const;
