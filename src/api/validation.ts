// The rules of the proto files, held against what is asked. Loaded when the first call comes (`gateway-rpc.ts`).

import { createValidator } from "@bufbuild/protovalidate";
import { createValidateInterceptor } from "@connectrpc/validate";

/** Reads the rules of a message when the first of its kind comes, which takes long: once, for whichever port and gateway. */
const validator = createValidator();

/** Refuses a request that breaks a rule. */
export const validate = createValidateInterceptor({ validator });
