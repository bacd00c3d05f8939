"""Settings of a runtime, from flags and environment variables. Each setting is declared once, as a field.

The flag, the variable, the allowed values, the error message and the row in the documentation's table are
all derived from the field.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from atomic.adapters.http.addresses import private_network
from atomic.protocol.urls import is_function, parse_url

PREFIX: Final = "ATOMIC_"
# What the dashboard puts into a link, each in braces.
_LINK_NAMES: Final = ("traceId", "runId", "stepId", "workflowName", "idempotencyKey")
_BOUNDS: Final = {"ge": " from {}", "le": " to {}", "min_length": " of {} characters or more"}
_KINDS: Final = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    str: "a text",
}


def as_public_url(url: str) -> str:
    """The URL of an API without a slash at its end; nothing stays nothing. Raises ValueError for no URL."""
    if url:
        parse_url(url)
        if is_function(url):
            raise ValueError("use a URL of https or http")
        if "?" in url:
            raise ValueError("use a URL without a query")
    return url.rstrip("/")


def as_link(link: str, *schemes: str) -> str:
    """A link of the dashboard with names in it; nothing stays nothing. Raises ValueError for any other."""
    names = "|".join(_LINK_NAMES)
    wanted = rf"(?:{'|'.join(schemes)})://[^\s{{}}]+(?:\{{(?:{names})\}}[^\s{{}}]*)*"
    if link and not re.fullmatch(wanted, link):
        allowed = ", ".join(f"{{{name}}}" for name in _LINK_NAMES)
        raise ValueError(
            f"use an {' or '.join(schemes)} URL, such as https://traces.example/trace/{{traceId}}; "
            f"only {allowed} may stand in it"
        )
    return link


def links_of(trace_link: str, log_link: str) -> dict[str, str]:
    """The links of the dashboard that are set, by their names."""
    return {name: link for name, link in (("trace", trace_link), ("log", log_link)) if link}


def as_private_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    """The networks that steps may call though they are private. Raises ValueError for any other."""
    return tuple(map(private_network, networks))


class BadSettingError(ValueError):
    """A setting has an invalid value; the message names the setting and says what to use."""


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """One setting, with its names and texts for people."""

    name: str
    field: FieldInfo

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        alias = self.field.validation_alias
        return alias if isinstance(alias, str) else PREFIX + self.name.upper()

    @property
    def is_secret(self) -> bool:
        """Whether messages must not show its value."""
        return not self.field.repr

    @property
    def kind(self) -> Any:
        """The type of its value: for a list the type of its members, for an optional one without None."""
        kind: Any = self.field.annotation
        if get_origin(kind) in {tuple, Union, UnionType}:
            kind = get_args(kind)[0]
        return kind

    @property
    def is_list(self) -> bool:
        """Whether it may be given several times."""
        return get_origin(self.field.annotation) is tuple

    @property
    def alone(self) -> str | None:
        """The value of its flag where no value follows it; None where one must."""
        extra = self.field.json_schema_extra
        return str(extra["alone"]) if isinstance(extra, dict) and "alone" in extra else None

    @property
    def metavar(self) -> str:
        """The placeholder for its value in the help."""
        return "|".join(map(str, get_args(self.kind))) or self.kind.__name__.upper()

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if get_origin(self.kind) is Literal:
            *others, last = (str(choice) for choice in get_args(self.kind))
            return f"{', '.join(others)} or {last}"
        words = _KINDS[self.kind]
        for bound in self.field.metadata:
            for name, phrase in _BOUNDS.items():
                if hasattr(bound, name):
                    words += phrase.format(getattr(bound, name))
        return words

    def refusal(self, value: object, *, given_by: str, cure: str = "") -> str:
        """The error message for an invalid value; without a `cure`, it names the allowed values."""
        shown = "missing" if value is None else "too short" if self.is_secret else repr(value)
        meaning = f" ({self.field.description})" if self.field.is_required() else ""
        return f"{given_by} is {shown}; {cure or f'use {self.allowed}'}{meaning}"


class SettingsModel(BaseModel):
    """The settings of a runtime, which are immutable and are checked together when they are made."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, validate_default=True)

    @classmethod
    def settings(cls) -> Iterator[Setting]:
        """Each of them, in the order of their fields."""
        for name, field in cls.model_fields.items():
            yield Setting(name, field)

    @classmethod
    def of_flags(cls, **values: Any) -> Self:
        """Make the settings from flags, or variables where no flag is given. Raises BadSettingError."""
        return cls._made(values, lambda setting: f"{setting.flag} ({setting.variable})")

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Self:
        """Make the settings from an environment; other variables are ignored. Raises BadSettingError."""
        given = [setting for setting in cls.settings() if setting.variable in environ]
        texts = {setting: environ[setting.variable] for setting in given}
        found = {setting.name: text.split() if setting.is_list else text for setting, text in texts.items()}
        return cls._made(found, lambda setting: setting.variable)

    @classmethod
    def _made(cls, values: dict[str, Any], given_by: Callable[[Setting], str]) -> Self:
        try:
            return cls(**values)
        except ValidationError as refused:
            error = refused.errors(include_url=False)[0]
        if not error["loc"]:
            raise BadSettingError(str(error["ctx"]["error"]))
        known = {name: s for s in cls.settings() for name in (s.name, s.variable)}
        setting = known[str(error["loc"][0])]
        cure = str(error["ctx"]["error"]) if error["type"] == "value_error" else ""
        value = values.get(setting.name)
        raise BadSettingError(setting.refusal(value, given_by=given_by(setting), cure=cure))
