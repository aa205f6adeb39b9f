// Loaded into the measured Node processes (`--import`): tells the bench their own CPU clock when it asks.

if (process.send) {
  process.on("message", (message) => {
    if (message === "bench:cpu") process.send?.({ "bench:cpu": process.cpuUsage() });
  });
  // Listening must not keep the process alive.
  process.channel?.unref();
}
