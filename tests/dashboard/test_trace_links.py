"""Links to traces and logs, by the templates that the server was started with."""

from pathlib import Path

from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_strangers import HOSTILE
from scenarios.embedded_runtime import AtomicServer


def test_a_step_leads_to_its_trace_and_its_log_lines(
    page: Page, endpoints: Endpoints, tmp_path: Path
) -> None:
    trace = 'https://traces.example/"><b>/{traceId}?step={stepId}'
    log = "https://logs.example/?q={workflowName}&key={idempotencyKey}"
    server = AtomicServer(tmp_path / "data", f"--trace-link={trace}", f"--log-link={log}")
    server.start()
    try:
        api = Api(server.url, "linked")
        run = api.start(endpoints.serve("/ok", (200, 1)), "a&b", workflow=HOSTILE)
        page.goto(f"{server.url}/dashboard#/linked/runs/{run['runId']}")
        page.get_by_text("Details", exact=True).click()
        link = page.get_by_role("link", name="Trace")
        trace_id = api.get(f"/steps/{run['id']}")["traceId"]
        place = f'https://traces.example/"><b>/{trace_id}?step={run["id"]}'
        expect(link).to_have_attribute("href", place)
        expect(link).to_have_attribute("rel", "noreferrer")
        logs = page.get_by_role("link", name="Logs").get_attribute("href")
        assert logs is not None
        assert logs.startswith("https://logs.example/?q=%3Cimg%2Fsrc%3Dx")
        assert logs.endswith("&key=a%26b")
        assert page.locator("b").count() == 0
    finally:
        server.stop()
