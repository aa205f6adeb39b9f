import { join, resolve } from "node:path";
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder that `build-process-files.ts` made. */
    processFiles: string;
  }
}

/** The command line, as it is shipped. */
export const gatewayFile = resolve(import.meta.dirname, "../../dist/bin/cody-gateway.js");

/** What else tests start as processes of their own. */
export const processSources = {
  "actor-worker": "test/helpers/actor-worker.ts",
  "database-child": "test/lib/database-child.ts",
  "decision-worker": "test/scenarios/decision-worker.ts",
  "journal-child": "test/quota/journal-child.ts",
  "quota-worker": "test/soak/quota-worker.ts",
  "server-child": "test/server/child.ts",
} as const;

/** The file to start. */
export function processFile(name: keyof typeof processSources): string {
  return join(inject("processFiles"), `${name}.js`);
}
