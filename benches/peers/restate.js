// Restate: a server of its own with a log of its own, which calls this process over HTTP/2. Its files are in a directory
// that goes with it; it uses no Postgres.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as restate from "@restatedev/restate-sdk";
import { STEPS, measure, step } from "./measure.js";

// Its SDK needs this of Node 22; Node 20 will do.
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const { version } = JSON.parse(readFileSync(new URL("node_modules/@restatedev/restate-server/package.json", import.meta.url)));
const [ingress, admin, service, fabric] = [0, 1, 2, 3].map((n) => Number(process.env.BENCH_PORT ?? 18080) + n);
const directory = mkdtempSync(join(tmpdir(), "restate-"));

const bench = restate.service({
  name: "bench",
  handlers: {
    run: async (ctx) => {
      for (let n = 0; n < STEPS; n += 1) await ctx.run("step", () => step(n));
      return "All of it is done.";
    },
  },
});
await restate.serve({ services: [bench], port: service, logger: () => {} });

const server = spawn(new URL("node_modules/.bin/restate-server", import.meta.url).pathname, ["--no-logo", "--base-dir", directory], {
  stdio: "ignore",
  detached: true, // what starts the server is not the server: both go, as a group
  env: {
    ...process.env,
    RUST_LOG: "error",
    DO_NOT_TRACK: "1",
    RESTATE_LISTEN_MODE: "tcp",
    RESTATE_BIND_PORT: String(fabric),
    RESTATE_INGRESS__BIND_PORT: String(ingress),
    RESTATE_ADMIN__BIND_PORT: String(admin),
  },
});
process.on("exit", () => {
  process.kill(-server.pid, "SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

const post = async (port, path, body, headers = {}) => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.text();
};
for (let tries = 0; ; tries += 1) {
  try {
    await post(admin, "/deployments", { uri: `http://127.0.0.1:${service}` });
    break;
  } catch (error) {
    if (tries === 100) throw error;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
await measure(`Restate ${version}`, (id) => post(ingress, "/bench/run", {}, { "idempotency-key": id }));
process.exit(0);
