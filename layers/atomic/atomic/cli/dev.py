"""`atomic dev`: a server for development with the application beside it, or under the tests of one."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

from atomic.cli.dev_ports import listening_port
from atomic.cli.dev_runs import RunLines
from atomic.entrypoints.embedded.child import Ended, Program, served
from atomic.entrypoints.embedded.wiring import dev_signing_secret

_TEST: Final = "test"
_TICK_S: Final = 0.25
_LISTENS_WITHIN_S: Final = 30.0


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--port", default=8787, show_default=True, help="Port of the server; 0 takes a free one.")
@click.option("--data-dir", default=Path(".atomic"), show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--client", "client_id", default="dev", show_default=True, help="The client of the application."
)
@click.option("--faults", type=click.Choice(["calm", "flaky", "hostile"]), help="As of `atomic serve`.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON lines, as where the output is no terminal."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def dev(
    *,
    port: int,
    data_dir: Path,
    client_id: str,
    faults: str | None,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Serve for development, run COMMAND beside it, and print every run as it goes.

    atomic dev -- uvicorn shop:app

    COMMAND finds the server in ATOMIC_URL, ATOMIC_CLIENT_ID and ATOMIC_SIGNING_SECRET. When it ends, the
    server ends as well, with its exit code; Ctrl-C ends both. Without COMMAND, the server runs alone.

    atomic dev test -- pytest

    runs COMMAND against a server of its own, in virtual time, on a free port, with a data directory that is
    deleted afterwards. The exit code is that of COMMAND.
    """
    _end_in_order()
    options = () if faults is None else ("--faults", faults)
    try:
        if command[:1] == (_TEST,):
            code = _test(_without_dashes(command[1:]), client_id, options)
        else:
            code = _develop(command, client_id, ("--port", str(port), *options), data_dir, as_json=as_json)
    except Ended as ended:
        raise click.ClickException(str(ended)) from None
    raise SystemExit(code)


def _warn(warning: str) -> None:
    click.echo(warning, err=True)


def _end_in_order() -> None:
    """When somebody ends this command or closes its terminal, let it end what it started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)


def _end(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    sys.exit(128 + number)


def _without_dashes(command: tuple[str, ...]) -> tuple[str, ...]:
    given = command[1:] if command[:1] == ("--",) else command
    if not given:
        raise click.UsageError("give the command of the tests: atomic dev test -- pytest")
    return given


def _test(command: Sequence[str], client_id: str, options: Sequence[str]) -> int:
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="atomic-")))
        server = opened.enter_context(served(folder, ("--port", "0", "--virtual-time", *options), _warn))
        tests = opened.enter_context(Program.started(command, _environment(server.url, client_id, folder)))
        # Ctrl-C reaches the command as well, which ends in its own way.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = tests.wait()
        if server.code() is not None:
            raise Ended(f"the server ended with {server.code()} while the tests ran:\n{server.said()}")
        return code


def _develop(
    command: Sequence[str], client_id: str, options: Sequence[str], data_dir: Path, *, as_json: bool
) -> int:
    with ExitStack() as opened:
        server = opened.enter_context(served(data_dir, options, _warn))
        lines = RunLines(server.url, client_id, as_json=as_json or not sys.stdout.isatty())
        lines.say(f"Atomic listens on {server.url}; dashboard: {server.url}/dashboard#/{client_id}")
        application = None
        if command:
            environment = _environment(server.url, client_id, data_dir)
            application = opened.enter_context(Program.started(command, environment, is_own_group=True))
            _await(application, lines)
        try:
            while True:
                lines.look()
                if application is not None and (code := application.code()) is not None:
                    lines.say(f"{command[0]} ended with exit code {code}")
                    return code
                if server.code() is not None:
                    raise Ended(f"the server ended with exit code {server.code()}:\n{server.said()}")
                time.sleep(_TICK_S)
        except KeyboardInterrupt:
            return 0


def _await(application: Program, lines: RunLines) -> None:
    """Say where the application listens, as soon as it does."""
    until_s = time.monotonic() + _LISTENS_WITHIN_S
    while application.code() is None and time.monotonic() < until_s:
        port = listening_port(application.pid)
        if port is None:
            time.sleep(_TICK_S / 5)
        elif port == 0:
            return
        else:
            lines.say(f"the application listens on http://127.0.0.1:{port}")
            return
    if application.code() is None:
        lines.say(f"the application listens on no port after {_LISTENS_WITHIN_S:.0f} s; it goes on")


def _environment(url: str, client_id: str, data_dir: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if name != "ATOMIC_API_KEY"}
    secret = dev_signing_secret(data_dir)
    return kept | {"ATOMIC_URL": url, "ATOMIC_CLIENT_ID": client_id, "ATOMIC_SIGNING_SECRET": secret}
