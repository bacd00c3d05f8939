"""The API's description as one plain page: no script, no download, every text escaped."""

import json
import re
from html import escape
from typing import Any

from atomic.entrypoints.http_api.problem_help import HELP, Help
from atomic.entrypoints.http_api.sdk_help import SDK_HELP, SdkHelp
from atomic.protocol.problems import ProblemType


def docs_page(description: dict[str, Any]) -> str:
    """HTML for an OpenAPI document of the kind that `openapi()` makes."""
    info = description["info"]
    operations = [
        (method.upper(), path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    contents = "".join(
        f'<li><a href="#{escape(operation["operationId"])}"><code>{method} {escape(path)}</code></a> '
        f"{escape(operation['summary'])}</li>"
        for method, path, operation in operations
    )
    schemas = "".join(
        f'<section id="{escape(name)}"><h3>{escape(name)}</h3>{_schema(schema)}</section>'
        for name, schema in sorted(description["components"]["schemas"].items())
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title>"
        '<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/docs.css">'
        "</head><body><main>"
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])} "
        '<a href="#problems">Problems</a> · <a href="/openapi.json">OpenAPI 3.1</a> · '
        '<a href="/dashboard">Dashboard</a></p>'
        f"<ul>{contents}</ul>"
        + "".join(_operation(*each) for each in operations)
        + '<h2 id="problems">Problems</h2><p>The <code>Link</code> of a refusal leads to one of these.</p>'
        + "".join(_problem(*each) for each in HELP.items())
        + '<h2 id="errors">Errors of the SDKs</h2><p>Those that are no problem of the API.</p>'
        + "".join(_error(*each) for each in SDK_HELP.items())
        + f"<h2>Documents</h2>{schemas}</main></body></html>"
    )


def _problem(kind: ProblemType, about: Help) -> str:
    return (
        f'<section id="{kind.name}"><h3><code>{kind.name}</code></h3>'
        f"<p>{kind.status}: {escape(kind.title)}.</p><p><b>Why.</b> {_prose(about.why)}</p>"
        f"<p><b>What to do.</b> {_prose(about.cure)}</p></section>"
    )


def _error(code: str, about: SdkHelp) -> str:
    return (
        f'<section id="{code}"><h3><code>{code}</code></h3>'
        f"<p><b>Why.</b> {_prose(about.why)}</p><p><b>What to do.</b> {_prose(about.cure)}</p></section>"
    )


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{escape(parameter['in'])}</td>"
        f"<td>{escape(parameter.get('description', ''))}</td></tr>"
        for parameter in operation["parameters"]
    )
    answers = "".join(
        f"<tr><td>{status}</td><td>{_content(answer)}</td><td>{escape(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    body = operation.get("requestBody")
    return (
        f'<section id="{escape(operation["operationId"])}">'
        f"<h2><code>{method} {escape(path)}</code></h2><p>{escape(operation['summary'])}. "
        f"{escape(operation.get('description', ''))}</p>"
        + (f"<p>Body: {_content(body)}</p>" if body else "")
        + (f"<table>{parameters}</table>" if parameters else "")
        + f"<table>{answers}</table></section>"
    )


def _content(holder: dict[str, Any]) -> str:
    schemas = [each["schema"] for each in holder.get("content", {}).values()]
    return ", ".join(_type(schema) for schema in schemas)


def _schema(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if name in required else ' <small>optional</small>'}</td>"
        f"<td>{_type(member)}</td><td>{escape(member.get('description', ''))}</td></tr>"
        for name, member in schema.get("properties", {}).items()
    )
    return f"<p>{escape(schema.get('description', ''))}</p><table>{rows}</table>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    bounds = [
        f"{words} {schema[key]:g}"
        for key, words in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
        if key in schema
    ]
    return " ".join([escape(str(schema.get("type", "any"))), *bounds])
