import { providers } from "../../src/providers/index.js";
import { describeProvider } from "../contract/provider.js";

for (const provider of providers) describeProvider(provider, provider.kind);
