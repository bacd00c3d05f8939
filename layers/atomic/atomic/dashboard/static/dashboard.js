// The dashboard: runs, and a run's steps with every attempt. It speaks the public API only, and every
// text of strangers goes through textContent.

const STATUSES = ["pending", "running", "retrying", "waiting", "succeeded", "failed", "cancelled"];
const REFRESH_MS = 2000;

const form = document.getElementById("who");
const view = document.getElementById("view");
for (const status of STATUSES) form.elements.status.append(new Option(status, status));

// The client is no secret and may be kept; the key lives as long as the tab.
form.elements.client.value = localStorage.getItem("client") ?? "";
form.elements.key.value = sessionStorage.getItem("key") ?? "";
form.addEventListener("submit", (event) => {
  event.preventDefault();
  localStorage.setItem("client", form.elements.client.value);
  sessionStorage.setItem("key", form.elements.key.value);
  show();
});
window.addEventListener("hashchange", show);

let round = 0;
async function show() {
  const mine = ++round;
  try {
    const parts = await page();
    if (mine === round) view.replaceChildren(...parts);
  } catch (error) {
    if (mine === round) view.replaceChildren(element("p", error.message));
  }
}
setInterval(() => { if (!document.hidden) show(); }, REFRESH_MS);
show();

function page() {
  if (!form.elements.client.value) return [element("p", "Enter the client whose runs you want to see.")];
  const runId = location.hash.slice(1);
  return runId ? runPage(runId) : runsPage();
}

async function runsPage() {
  const status = form.elements.status.value;
  const { runs } = await get(`/runs${status ? `?status=${status}` : ""}`);
  if (!runs.length) return [element("p", "No runs yet. Start one:"), element("pre", firstRun())];
  const rows = runs.map((run) => [
    badge(run.status), link(`#${run.runId}`, run.workflowName), element("code", run.idempotencyKey),
    time(run.createdAt), duration(run), String(run.attempts), run.error ?? "",
  ]);
  return [table(["Status", "Workflow", "Key", "Started", "Took", "Attempts", "Error"], rows)];
}

async function runPage(runId) {
  const { run, root, steps } = await get(`/runs/${encodeURIComponent(runId)}`);
  const rows = [root, ...steps].flatMap((step) => [
    [badge(step.status), element("code", step.stepName ?? step.stepInvokeUrl), offset(run, step.createdAt), duration(step), ""],
    ...step.attemptLog.map((attempt) => [
      "", `attempt ${attempt.number}`, offset(run, attempt.startedAt),
      attempt.duration === null ? "running" : `${attempt.duration} ms`,
      [attempt.outcome, attempt.status, attempt.error, attempt.late && `late: ${attempt.late}`].filter(Boolean).join(" · "),
    ]),
  ]);
  return [
    element("h2", `${run.workflowName} · ${run.idempotencyKey}`),
    element("p", `Started ${new Date(run.createdAt).toLocaleString()}`),
    table(["Status", "Step", "Began", "Took", "Outcome"], rows),
    element("h2", "Payload"), element("pre", JSON.stringify(root.payload, null, 2)),
    element("h2", "Response"), element("pre", JSON.stringify(root.response, null, 2)),
  ];
}

async function get(path) {
  const key = form.elements.key.value;
  const reply = await fetch(`/${encodeURIComponent(form.elements.client.value)}${path}`, {
    headers: key ? { Authorization: `Bearer ${key}` } : {},
  });
  const document = await reply.json();
  if (!reply.ok) throw new Error(`${document.title}: ${document.detail}`);
  return document;
}

function firstRun() {
  const body = { workflowName: "hello", stepInvokeUrl: "http://127.0.0.1:9000/hello", idempotencyKey: "1" };
  return `curl -d '${JSON.stringify(body)}' ${location.origin}/${form.elements.client.value}`;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function link(href, text) {
  const made = element("a", text);
  made.href = href;
  return made;
}

function badge(status) {
  const made = element("span", status);
  made.className = `status ${STATUSES.includes(status) ? status : ""}`;
  return made;
}

function time(moment) {
  const made = element("time", new Date(moment).toLocaleString());
  made.dateTime = moment;
  return made;
}

function offset(run, moment) {
  return `+${new Date(moment) - new Date(run.createdAt)} ms`;
}

function duration({ createdAt, finishedAt }) {
  return finishedAt ? `${new Date(finishedAt) - new Date(createdAt)} ms` : "…";
}

function table(titles, rows) {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  for (const title of titles) {
    const cell = element("th", title);
    cell.scope = "col";
    head.append(cell);
  }
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const content of row) line.insertCell().append(content);
  }
  return made;
}
