"""Where the dashboard of a stack leads: the parameters, the settings, and the page."""

import re
from html import unescape

import pytest

from atomic.entrypoints.aws.api import ApiFunction
from atomic.entrypoints.settings import BadSettingError, as_link
from contract.aws import aws
from stack_template import FUNCTIONS, TEMPLATE
from unit.aws.test_handlers import environment, gateway_event

TRACE = 'https://traces.example/"><b>/{traceId}?step={stepId}'
LINKS = [
    "https://logs.example/?q={workflowName}&key={idempotencyKey}#{runId}",
    "https://traces.example/trace/{traceId}",
    "https://traces.example/all",
    "",
]
REFUSED = [
    "http://traces.example/{traceId}",
    "javascript:alert({traceId})",
    "traces.example/{traceId}",
    "https://traces.example/{traceID}",
    "https://traces.example/{traceId",
    "https://traces.example/{}",
    "https://traces.example/a b",
    "https://",
]


@pytest.mark.parametrize("name", ["TraceLink", "LogLink"])
def test_the_template_and_the_function_take_the_same_links(name: str) -> None:
    parameter = TEMPLATE["Parameters"][name]
    assert parameter["Default"] == ""
    assert "an https URL" in parameter["ConstraintDescription"]
    for link in LINKS:
        assert re.fullmatch(parameter["AllowedPattern"], link), link
        assert as_link(link, "https") == link
    for link in REFUSED:
        assert not re.fullmatch(parameter["AllowedPattern"], link), link
        with pytest.raises(ValueError, match="use an https URL"):
            as_link(link, "https")


def test_only_the_function_that_serves_the_page_has_them() -> None:
    told = {"ATOMIC_TRACE_LINK": {"Ref": "TraceLink"}, "ATOMIC_LOG_LINK": {"Ref": "LogLink"}}
    variables = FUNCTIONS["ApiFunction"]["Environment"]["Variables"]
    assert told.items() <= variables.items()
    others = [each for name, each in FUNCTIONS.items() if name != "ApiFunction"]
    assert not any("TraceLink" in str(each) for each in others)


def test_the_page_of_a_stack_leads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with aws() as account:
        links = {"ATOMIC_TRACE_LINK": TRACE, "ATOMIC_LOG_LINK": ""}
        function = ApiFunction(environment(account) | links)
        try:
            page = function(gateway_event("GET", "/dashboard", ""), None)["body"]
        finally:
            function.runtime.close()
        (link,) = re.findall('<div id="app" data-trace-link="([^"]*)">', page)
        assert unescape(link) == TRACE
        with pytest.raises(BadSettingError, match=r"ATOMIC_LOG_LINK.*use an https URL"):
            ApiFunction(environment(account) | {"ATOMIC_LOG_LINK": "http://logs.example/{runId}"})
