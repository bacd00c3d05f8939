"""The command `atomic`."""

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import click

from atomic import __version__
from atomic.protocol.actions import ACTIONS

# Imported on demand: `atomic runs list` works where the server is not installed. A name is that of the
# command, or of a function that makes it.
_COMMANDS: Final = {
    **{action.name: ("atomic.cli.acting", "command_of") for action in ACTIONS},
    "answer": ("atomic.cli.answering", "answer"),
    "audit": ("atomic.cli.audit", "audit"),
    "backup": ("atomic.cli.backup", "backup"),
    "bulk": ("atomic.cli.bulk", "bulk"),
    "causes": ("atomic.cli.causes", "causes"),
    "clients": ("atomic.cli.clients", "clients"),
    "counters": ("atomic.cli.counters", "counters"),
    "dead-letters": ("atomic.cli.acting", "dead_letters"),
    "demo": ("atomic.cli.demo", "demo"),
    "dev": ("atomic.cli.dev", "dev"),
    "doctor": ("atomic.cli.doctor", "doctor"),
    "endpoints": ("atomic.cli.loads", "endpoints"),
    "events": ("atomic.cli.events", "events"),
    "flow": ("atomic.cli.flow", "flow"),
    "hooks": ("atomic.cli.hooks", "hooks"),
    "limits": ("atomic.cli.loads", "limits"),
    "operator": ("atomic.cli.operator", "operator"),
    "paused-workflows": ("atomic.cli.acting", "paused_workflows"),
    "redrive": ("atomic.cli.acting", "redrive"),
    "restore": ("atomic.cli.backup", "restore"),
    "retention": ("atomic.cli.retentions", "retention"),
    "runs": ("atomic.cli.runs", "runs"),
    "schedules": ("atomic.cli.schedules", "schedules"),
    "send-wakeups": ("atomic.cli.wakeups", "send_wakeups"),
    "serve": ("atomic.cli.serving", "serve"),
    "start-token": ("atomic.cli.start_tokens", "command"),
    "start": ("atomic.cli.starting", "start"),
    "workflows": ("atomic.cli.counters", "workflows"),
}


class _Commands(click.Group):
    def main(self, *args: Any, **more: Any) -> Any:
        try:
            return super().main(*args, **more)
        except (OSError, UnicodeEncodeError) as error:
            # Python flushes the rest of standard output at exit, which would fail again.
            with suppress(OSError):
                sys.stdout.close()
            click.echo(f"Error: cannot write the output: {_reason(error)}", err=True)
            raise SystemExit(1) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        try:
            found = getattr(import_module(module), name)
            command = found if isinstance(found, click.Command) else found(cmd_name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").startswith("atomic"):
                raise
            command = _not_installed(cmd_name, missing.name or "")
        assert isinstance(command, click.Command)
        return command


def _reason(error: OSError | UnicodeEncodeError) -> str:
    if isinstance(error, UnicodeEncodeError):
        character = error.object[error.start]
        return f"the encoding {error.encoding} has no {character!a}; set PYTHONUTF8=1"
    return error.strerror or str(error)


def _not_installed(name: str, missing: str) -> click.Command:
    @click.command(
        name,
        help="Not installed: pip install 'atomic-workflows[server]'.",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def command() -> None:
        raise click.ClickException(f"{missing} is not installed: pip install 'atomic-workflows[server]'")

    return command


@click.group(cls=_Commands)
@click.version_option(__version__)
def main() -> None:
    """Durable workflows made of plain HTTP endpoints."""
