"""Writes the problems into docs/troubleshooting.md, from the text that the server serves at /docs.

python scripts/troubleshooting.py
"""

import json
from pathlib import Path
from typing import Final

from atomic.entrypoints.http_api.problem_help import HELP, Help
from atomic.entrypoints.http_api.sdk_help import SDK_HELP, SdkHelp
from atomic.protocol import problems
from atomic.protocol.problems import Problem, ProblemType
from atomic.sdk import RunCycleError
from atomic.sdk._wire.transport import HttpResponse, error_of
from marked import replaced

PAGE: Final = Path(__file__).parents[1] / "docs" / "troubleshooting.md"
BEGIN: Final = "<!-- The problems of the API: `make troubleshooting` writes them. -->\n"
END: Final = "<!-- The end of the problems. -->\n"
SDK_BEGIN: Final = "<!-- The errors of the SDKs: `make troubleshooting` writes them. -->\n"
SDK_END: Final = "<!-- The end of the errors of the SDKs. -->\n"
# The server says of this one, by the kind of the error, that a run is the cause.
_BY_KIND: Final = {problems.RUN_CYCLE: RunCycleError.__name__}
_IN_TYPESCRIPT: Final = {
    problems.NOT_FINISHED: "NotFinishedError",
    problems.CANCELLED: "CancelledError",
    problems.STEP_CANCELLED: "CancelledError",
    problems.RUN_CYCLE: "StepFailedError",
}


def section(kind: ProblemType, about: Help) -> str:
    """What the page says about a problem."""
    typescript = _IN_TYPESCRIPT.get(kind, "StepFailedError" if kind.status == 424 else "RefusedError")
    return (
        f"\n### {kind.name}\n\n`{kind.status}` {kind.title}. "
        f"Python: `{_in_python(kind)}`. TypeScript: `{typescript}`.\n\n"
        f"- Why: {about.why}\n- What to do: {about.cure} [More]({about.page}).\n"
    )


def sdk_section(code: str, about: SdkHelp) -> str:
    """What the page says about an error of the SDKs."""
    return (
        f"\n### {code}\n\n{about.classes}\n\n- Why: {about.why}\n"
        f"- What to do: {about.cure} [More]({about.page}).\n"
    )


def _in_python(kind: ProblemType) -> str:
    body = json.dumps(Problem(kind, "").document()).encode()
    answer = HttpResponse(status=kind.status, body=body, at_s=0.0, jitter=0.0)
    return _BY_KIND.get(kind) or type(error_of(answer)).__name__


def with_problems(page: str) -> str:
    """The page with up-to-date parts. Raises ValueError if the page lacks the markers around it."""
    sections = "".join(section(*each) for each in sorted(HELP.items(), key=lambda each: each[0].name))
    of_sdks = "".join(sdk_section(*each) for each in sorted(SDK_HELP.items()))
    page = replaced(page, BEGIN, END, sections + "\n")
    return replaced(page, SDK_BEGIN, SDK_END, of_sdks + "\n")


if __name__ == "__main__":
    PAGE.write_text(with_problems(PAGE.read_text()))
