// Serves the application by Deno.serve, starts runs, and prints their results. Usage: serve_deno.mjs RUNS
import { application } from "./application.mjs";
import { started } from "./starts.mjs";

const options = { hostname: "127.0.0.1", port: 0, onListen: () => undefined };
const server = Deno.serve(options, application().fetch);
console.log(JSON.stringify(await started(`http://127.0.0.1:${server.addr.port}/users/signUp`, Number(Deno.args[0]))));
Deno.exit(0);
