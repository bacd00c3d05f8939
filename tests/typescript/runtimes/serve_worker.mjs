// Runs the bundled Worker in workerd by miniflare, and prints the results of its runs. Usage: serve_worker.mjs RUNS FILE
import { Miniflare } from "miniflare";

const [runs, scriptPath] = process.argv.slice(2);
const bindings = { url: process.env.ATOMIC_URL, clientId: process.env.ATOMIC_CLIENT_ID };
const worker = new Miniflare({
  modules: true,
  scriptPath,
  compatibilityDate: "2026-07-01",
  bindings,
  host: "127.0.0.1",
  port: 0,
});
const url = await worker.ready;
console.log(await (await fetch(new URL(`/start/${runs}`, url))).text());
await worker.dispose();
