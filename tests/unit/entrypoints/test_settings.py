"""Settings: flags and variables, allowed values, the effect on the engine, and the table in the docs."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from click.testing import CliRunner

from atomic.application.engine import Settings
from atomic.cli import serving
from atomic.cli.main import main
from atomic.entrypoints.aws.settings import LambdaSettings, PepperSettings
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.settings import BadSettingError, Setting
from atomic.runtime.driver import Pace
from settings_table import PAGE, with_table


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServerSettings]:
    """The settings with which the command would serve."""
    begun: list[ServerSettings] = []

    def run_server(settings: ServerSettings) -> int:
        begun.append(settings)
        return 0

    monkeypatch.setattr(serving, "configure_logs", lambda _level, _form: None)
    monkeypatch.setattr(serving, "run_server", run_server)
    return begun


def serve(*flags: str, **variables: str) -> tuple[int, str]:
    """Run the command; return its exit code and output."""
    result = CliRunner().invoke(main, ["serve", *flags], env=variables)
    return result.exit_code, result.output


def test_without_any_the_engine_gets_what_it_has_by_itself(served: list[ServerSettings]) -> None:
    assert serve() == (0, "")
    assert served == [ServerSettings()]
    assert served[0].engine() == Settings()
    assert Pace(slots=served[0].slots, slot_held_s=served[0].slot_held_ms / 1000) == Pace()
    assert (served[0].host, served[0].port, served[0].data_dir) == ("127.0.0.1", 8787, Path(".atomic"))


# As text and as parsed.
OTHERS: dict[str, tuple[str, Any]] = {
    "allow_origin": ("http://a.example http://b.example", ("http://a.example", "http://b.example")),
    "allow_network": ("10.1.2.0/24 fd12::/64", ("10.1.2.0/24", "fd12::/64")),
    "dev_network": ("172.28.0.0/24", ("172.28.0.0/24",)),
    "public_url": ("https://atomic.example/base", "https://atomic.example/base"),
    "trace_link": ("https://traces.example/{traceId}", "https://traces.example/{traceId}"),
    "log_link": ("http://logs.example/?q={runId}", "http://logs.example/?q={runId}"),
    "faults_seed": ("7", 7),
    "virtual_time": ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
}


def another(setting: Setting) -> tuple[str, Any]:
    """A value other than the default, as text and as parsed."""
    if setting.name in OTHERS:
        return OTHERS[setting.name]
    if setting.is_list:
        return "a.example b.example", ("a.example", "b.example")
    if setting.kind is bool:
        return "true", True
    if setting.kind is int:
        return str(setting.field.default + 1), setting.field.default + 1
    if get_origin(setting.kind) is Literal:
        choice = next(value for value in get_args(setting.kind) if value != setting.field.default)
        return choice, choice
    return "another", setting.kind("another")


def test_each_setting_is_a_flag_and_a_variable(served: list[ServerSettings]) -> None:
    given = {setting: another(setting) for setting in ServerSettings.settings()}
    flags: list[str] = []
    for setting, (text, _) in given.items():
        for value in text.split():
            flags += [setting.flag] if setting.kind is bool else [setting.flag, value]
    assert serve(*flags) == (0, "")
    assert serve(**{setting.variable: text for setting, (text, _) in given.items()}) == (0, "")
    wanted = ServerSettings(**{setting.name: value for setting, (_, value) in given.items()})
    assert served == [wanted, wanted]


def test_the_engine_gets_what_was_set(served: list[ServerSettings]) -> None:
    assert serve("--retention-days", "7", "--wait-max-ms", "60000") == (0, "")
    assert serve("--attempt-timeout-ms", "5000", "--attempt-timeout-max-ms", "3600000") == (0, "")
    one, two = (settings.engine() for settings in served)
    assert (one.retention_ms, one.wait_max_ms) == (7 * 24 * 3600 * 1000, 60_000)
    assert (two.attempt_timeout_default_ms, two.attempt_timeout_max_ms) == (5_000, 3_600_000)


def test_endpoints_are_told_the_public_url_or_where_the_server_listens(
    served: list[ServerSettings],
) -> None:
    assert serve("--public-url", "https://atomic.example/") == (0, "")
    assert serve() == (0, "")
    told = [settings.engine("http://127.0.0.1:8787").public_url for settings in served]
    assert told == ["https://atomic.example", "http://127.0.0.1:8787"]


def test_a_flag_wins_over_its_variable(served: list[ServerSettings]) -> None:
    assert serve("--slots", "3", ATOMIC_SLOTS="4") == (0, "")
    assert served[0].slots == 3


@pytest.mark.parametrize(
    ("flag", "value", "cure"),
    [
        ("--retention-days", "0", "use a whole number from 1 to 366"),
        ("--retention-days", "367", "use a whole number from 1 to 366"),
        ("--wait-max-ms", "soon", "use a whole number from 0 to 3600000"),
        ("--attempt-timeout-ms", "0", "use a whole number from 1 to 86400000"),
        ("--attempt-timeout-ms", "1.5", "use a whole number from 1 to 86400000"),
        ("--slots", "-1", "use a whole number from 1 to 10000"),
        ("--slot-held-ms", "", "use a whole number from 1 to 60000"),
        ("--destination-runs", "0", "use a whole number from 1 to 1000000"),
        ("--virtual-time", "tomorrow", "use a time as in 2026-01-01T00:00:00Z, or now"),
        ("--virtual-time", "2026-01-01", "use a time as in 2026-01-01T00:00:00Z, or now"),
        ("--virtual-time", "9999-01-01T00:00:00Z", "use a time from 1970 to 9000-01-01T00:00:00.000Z"),
        ("--host", "", "use an address, 0.0.0.0 for every interface"),
        ("--port", "65536", "use a whole number from 0 to 65535"),
        ("--log-level", "loud", "use debug, info or warning"),
        ("--public-url", "atomic.example", "use an absolute URL, as in https://app.example/steps/mail"),
        ("--public-url", "https://atomic.example/?a=1", "use a URL without a query"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_the_cure(
    served: list[ServerSettings], flag: str, value: str, cure: str
) -> None:
    variable = "ATOMIC" + flag.replace("-", "_").upper().removeprefix("_")
    expected = f"Error: {flag} ({variable}) is {value!r}; {cure}\n"
    assert serve(flag, value) == (1, expected)
    # An empty variable counts as unset.
    assert serve(**{variable: value}) == ((1, expected) if value else (0, ""))
    assert len(served) == (not value)


def test_the_usual_time_out_is_not_above_the_longest(served: list[ServerSettings]) -> None:
    code, said = serve("--attempt-timeout-max-ms", "10000")
    assert (code, served) == (1, [])
    assert "--attempt-timeout-ms (20000) is above --attempt-timeout-max-ms (10000); lower" in said


@pytest.mark.parametrize("network", ["0.0.0.0/0", "172.28.0.0/40", "8.8.8.0/24"])
def test_without_keys_only_private_networks_are_answered(
    served: list[ServerSettings], network: str
) -> None:
    code, said = serve("--dev", "--dev-network", network)
    assert (code, served) == (1, [])
    assert "is no private network; use a part of 10.0.0.0/8" in said
    code, said = serve("--dev-network", "172.28.0.0/24")
    assert (code, served) == (1, [])
    assert "--dev-network needs --dev" in said


@pytest.mark.parametrize(
    "given", [("--virtual-time", "now"), ("--faults", "hostile"), ("--faults-seed", "1")]
)
def test_what_is_for_tests_needs_dev(served: list[ServerSettings], given: tuple[str, str]) -> None:
    code, said = serve(*given)
    assert (code, served) == (1, [])
    assert "--dev: " in said


def test_settings_are_frozen() -> None:
    settings = ServerSettings()
    with pytest.raises(ValueError, match="frozen"):
        settings.slots = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ATOMIC_RETENTION_DAYS": "0"}, "ATOMIC_RETENTION_DAYS is '0'; use a whole number from 1 to 366"),
        ({"ATOMIC_WAIT_MAX_MS": None}, "ATOMIC_WAIT_MAX_MS is missing; use a whole number from 0 to 25000"),
        ({"ATOMIC_INVOKER": "tall"}, "ATOMIC_INVOKER is 'tall'; use short or long"),
        ({"ATOMIC_ALLOW_PRIVATE": "perhaps"}, "ATOMIC_ALLOW_PRIVATE is 'perhaps'; use true or false"),
        (
            {"ATOMIC_ALLOW_NETWORK": "10.1.2.0/24 0.0.0.0/0"},
            (
                "ATOMIC_ALLOW_NETWORK is ['10.1.2.0/24', '0.0.0.0/0']; '0.0.0.0/0' is no private network; "
                "use a part of 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16, fc00::/7"
            ),
        ),
        (
            {"ATOMIC_PUBLIC_URL": "here"},
            "ATOMIC_PUBLIC_URL is 'here'; use an absolute URL, as in https://app.example/steps/mail",
        ),
        (
            {"ATOMIC_CALLS_FROM": "tomorrow"},
            "ATOMIC_CALLS_FROM is 'tomorrow'; use paused, or a time as in 2026-11-29T12:00:00Z",
        ),
        ({"POWERTOOLS_SERVICE_NAME": None}, "POWERTOOLS_SERVICE_NAME is missing; use a text"),
    ],
)
def test_a_bad_variable_of_a_stack_is_named(changes: dict[str, str | None], message: str) -> None:
    given: dict[str, str | None] = {s.variable: "x" * 32 for s in LambdaSettings.settings()}
    given |= {"ATOMIC_RETENTION_DAYS": "1", "ATOMIC_WAIT_MAX_MS": "1", "ATOMIC_INVOKER": "long"}
    given |= {
        "ATOMIC_AUDIT_DAYS": "1",
        "ATOMIC_WORKFLOW_METRICS": "0",
        "ATOMIC_PUBLIC_URL": "",
        "ATOMIC_STEPS_URL": "",
        "ATOMIC_INVOKERS_MAX": "5",
        "ATOMIC_ALLOW_PRIVATE": "false",
        "ATOMIC_LAMBDA_TARGETS": "false",
        "ATOMIC_ALLOW_NETWORK": "",
        "ATOMIC_CALLS_FROM": "",
        "ATOMIC_TRACE_LINK": "",
        "ATOMIC_LOG_LINK": "",
        "UNRELATED": "x",
    } | changes
    with pytest.raises(BadSettingError) as refused:
        LambdaSettings.of_environment({name: text for name, text in given.items() if text is not None})
    assert str(refused.value).partition(" (")[0] == message


@pytest.mark.parametrize(("pepper", "said"), [("secret", "too short"), (None, "missing")])
def test_a_pepper_that_protects_nothing_is_refused_and_not_shown(pepper: str | None, said: str) -> None:
    with pytest.raises(BadSettingError) as refused:
        PepperSettings.of_environment({} if pepper is None else {"ATOMIC_KEY_PEPPER": pepper})
    assert (
        str(refused.value)
        == f"ATOMIC_KEY_PEPPER is {said}; use a text of 32 characters or more (the KeyPepper of the stack)"
    )
    good = PepperSettings.of_environment({"ATOMIC_KEY_PEPPER": "p" * 32})
    assert "ppp" not in repr(good)


def test_the_table_in_the_pages_is_that_of_the_settings() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page, "run make settings"
    with pytest.raises(ValueError, match="lacks"):
        with_table("")
