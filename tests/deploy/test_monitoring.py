"""Alert rules and the Grafana dashboard: read by promtool, and about metrics that the server has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import requests
import yaml

from deploy.tools import DEPLOY, checked, program
from scenarios.embedded_runtime import AtomicServer

RULES: Final = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD: Final = json.loads((DEPLOY / "grafana" / "atomic.json").read_text())
_METRIC: Final = re.compile(r"\b(?:atomic|process)_\w+")


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def queries() -> Iterator[tuple[str, str]]:
    """Each query of the dashboard, with the title of its panel."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_the_rules_are_well_formed_and_come_when_they_should() -> None:
    promtool, folder = program("promtool"), RULES.parent
    assert f"{len(alerts())} rules found" in checked(promtool, "check", "rules", RULES.name, cwd=folder)
    checked(promtool, "test", "rules", "alerts_test.yml", cwd=folder)


def test_each_alert_is_tried_and_says_what_to_do() -> None:
    tried = (RULES.parent / "alerts_test.yml").read_text()
    page = (DEPLOY.parent / "docs" / "servers.md").read_text()
    for alert in alerts():
        assert tried.count(alert["alert"]) >= 2, alert["alert"]
        assert alert["annotations"].keys() == {"summary", "action"}
        assert f"`{alert['alert']}`" in page


def test_rules_and_dashboard_name_metrics_of_the_server(tmp_path: Path) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()
    exposition = requests.get(f"{server.url}/metrics", timeout=10).text
    server.stop()
    exposed = set(re.findall(r"^# TYPE (\w+)", exposition, re.MULTILINE))
    known = exposed | {f"{name}_bucket" for name in exposed}
    texts = [alert["expr"] for alert in alerts()] + [query for _, query in queries()]
    named = {name for text in texts for name in _METRIC.findall(text)}
    assert named <= known
    # A metric that no panel and no alert looks at is of no use.
    assert {name.removesuffix("_bucket") for name in named} >= exposed - {
        "atomic_starts_total", "atomic_retries_total", "atomic_step_seconds",
        "atomic_destination_slowdowns_total",
    }  # fmt: skip


def test_grafana_s_queries_are_well_formed(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{number}",
            "expr": query.replace("$__rate_interval", "5m").replace("$job", "atomic"),
        }
        for number, (_, query) in enumerate(queries())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked(program("promtool"), "check", "rules", file)
    titles = [title for title, _ in queries()]
    assert len(titles) >= 13
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
