// Serves the application by Bun.serve, starts runs, and prints their results. Usage: serve_bun.mjs RUNS
import { application } from "./application.mjs";
import { started } from "./starts.mjs";

const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: application().fetch });
console.log(JSON.stringify(await started(`http://127.0.0.1:${server.port}/users/signUp`, Number(process.argv[2]))));
await server.stop(true);
process.exit(0);
