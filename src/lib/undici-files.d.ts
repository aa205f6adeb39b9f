// Undici tells the types of its index only; these are the files behind it that src/lib/undici.ts loads.

declare module "undici/lib/api/index.js" {
  const methods: Readonly<Record<"request" | "stream" | "pipeline" | "upgrade" | "connect", unknown>>;
  export default methods;
}

declare module "undici/lib/dispatcher/agent.js" {
  export { Agent as default } from "undici";
}

declare module "undici/lib/dispatcher/dispatcher.js" {
  export { Dispatcher as default } from "undici";
}

declare module "undici/lib/dispatcher/pool.js" {
  export { Pool as default } from "undici";
}
