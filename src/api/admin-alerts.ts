import type { Notifier } from "../usage/notify.js";
import type { AdminHandlers } from "./admin.js";
import type { Audited } from "./admin-audit.js";

export interface AlertAdminParts {
  /** Undefined: nobody is alerted. */
  readonly notifier: Pick<Notifier, "test"> | undefined;
  readonly audited: Audited;
}

/** Who is told when actors have used most of a limit. */
export function alertHandlers({ notifier, audited }: AlertAdminParts): Pick<AdminHandlers, "sendTestAlert"> {
  return {
    sendTestAlert({ reason }, context) {
      return audited(context, { reason }, async () => {
        const results = (await notifier?.test()) ?? [];
        const deliveries = results.map(({ channel, error }) => ({ channel, error: error ?? "" }));
        return { answer: { deliveries }, after: { deliveries } };
      });
    },
  };
}
