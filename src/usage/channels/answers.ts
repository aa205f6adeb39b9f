import type { HttpAnswer } from "../../lib/http-caller.js";
import { AlertRefusedError } from "../alert.js";

/** Any 2xx is "delivered". Of the 4xx, those that say "not now" are worth another attempt: timeout, too early, too many. */
export function judge({ status }: HttpAnswer): void {
  if (status >= 200 && status < 300) return;
  const message = `answered ${status}`;
  const passing = status === 408 || status === 425 || status === 429;
  throw status >= 300 && status < 500 && !passing ? new AlertRefusedError(message) : new Error(message);
}
