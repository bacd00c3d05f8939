// The application as a Worker, which has no environment of a process. `/start/RUNS` starts runs of it from the Worker.
import { application } from "./application.mjs";
import { started } from "./starts.mjs";

let users;

export default {
  async fetch(request, { url, clientId }) {
    const atomic = { url, clientId };
    const { origin, pathname } = new URL(request.url);
    const runs = /^\/start\/(\d+)$/.exec(pathname)?.[1];
    if (runs !== undefined) {
      return Response.json(await started(`${origin}/users/signUp`, Number(runs), atomic));
    }
    users ??= application(atomic);
    return users.fetch(request);
  },
};
