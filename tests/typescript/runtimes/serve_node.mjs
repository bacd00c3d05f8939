// Serves the application by Node's http, starts runs, and prints their results. Usage: serve_node.mjs RUNS
import { createServer } from "node:http";
import { node } from "atomic-workflows/node";
import { application } from "./application.mjs";
import { started } from "./starts.mjs";

const server = createServer(node(application()));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
console.log(JSON.stringify(await started(`http://127.0.0.1:${server.address().port}/users/signUp`, Number(process.argv[2]))));
process.exit(0);
