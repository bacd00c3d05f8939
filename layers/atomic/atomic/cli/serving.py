"""`atomic serve`."""

from collections.abc import Callable
from typing import Any

import click

from atomic.cli.options import data_dir
from atomic.entrypoints.embedded.logs import configure_logs
from atomic.entrypoints.embedded.server import serve as run_server
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.wiring import ServeRefusedError
from atomic.entrypoints.settings import BadSettingError, Setting


def _option(setting: Setting) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The setting as a flag. What its value may be, `ServerSettings` decides, wherever it comes from."""
    if setting.name == "data_dir":
        return data_dir
    default = setting.field.default
    shown: dict[str, Any] = {"help": setting.field.description, "show_envvar": True}
    if setting.kind is bool:
        shown |= {"is_flag": True}
    elif setting.is_list:
        shown |= {"multiple": True}
    else:
        shown |= {"metavar": setting.metavar}
        if default is not None:
            shown |= {"default": str(default), "show_default": True}
        if setting.alone is not None:
            shown |= {"is_flag": False, "flag_value": setting.alone, "metavar": "[START]"}
    return click.option(setting.flag, envvar=setting.variable, **shown)


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    for setting in reversed(list(ServerSettings.settings())):
        command = _option(setting)(command)
    return command


@click.command()
@_settings
def serve(**given: Any) -> None:
    """Run the server. Each setting is a flag, or a variable of the environment."""
    try:
        settings = ServerSettings.of_flags(**given)
        configure_logs(settings.log_level, settings.log_format)
        code = run_server(settings)
    except (BadSettingError, ServeRefusedError, OSError) as refused:
        raise click.ClickException(str(refused)) from None
    raise SystemExit(code)
