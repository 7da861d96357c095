// DBOS: a library whose workflows and steps are rows of DATABASE_URL, in the process that runs them.

import { readFileSync } from "node:fs";
import { DBOS } from "@dbos-inc/dbos-sdk";
import { STEPS, measure, step } from "./measure.js";

const { version } = JSON.parse(readFileSync(new URL("node_modules/@dbos-inc/dbos-sdk/package.json", import.meta.url)));
if (!process.env.DATABASE_URL) throw new Error("set DATABASE_URL to an empty database, or let `tenure bench --peer` do it");
const url = new URL(process.env.DATABASE_URL);
// It wants a user and a host in front also of a socket's directory, which counts all the same.
if (!url.hostname) url.href = `postgres://${url.searchParams.get("user")}@localhost${url.pathname}${url.search}`;

DBOS.setConfig({ name: "bench", systemDatabaseUrl: url.href, systemDatabasePoolSize: 16, logLevel: "error" });
const run = DBOS.registerWorkflow(
  async () => {
    for (let n = 0; n < STEPS; n += 1) await DBOS.runStep(async () => step(n), { name: "step" });
    return "All of it is done.";
  },
  { name: "run" },
);
await DBOS.launch();
await measure(`DBOS ${version}`, (id) => DBOS.startWorkflow(run, { workflowID: id })().then((handle) => handle.getResult()));
await DBOS.shutdown();
process.exit(0);
