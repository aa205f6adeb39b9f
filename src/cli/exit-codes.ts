/** How the process ends. 78 and 69 as in sysexits.h. */
export const exitCodes = { done: 0, failed: 1, usage: 2, unreachable: 69, configuration: 78 } as const;
