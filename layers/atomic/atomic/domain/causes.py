"""Causes of failures: what the failures of many runs have in common, so that they can be counted.

A cause is the workflow and the step that failed, the kind of its error, what its endpoint answered, and the
text of the error without what differs from run to run.
"""

import hashlib
import re
from dataclasses import astuple, dataclass, replace
from typing import Final

from atomic.domain.outcomes import StepError
from atomic.protocol.error_kinds import SENTENCES, ErrorKind
from atomic.protocol.failures import with_excerpt
from atomic.protocol.strict_json import canonical_json

# Excerpts are cut off (`outcomes.EXCERPT_MAX_CHARS`), after ids of any length. What is compared is shorter,
# so that two texts are the same to their end.
TEXT_MAX_CHARS: Final = 120
_READ_MAX_CHARS: Final = 1_000
# A status has three digits. Longer details are numbers of milliseconds, moments, ids.
_STATUS_DIGITS: Final = 3
_SIGN: Final = "#"
# Each alternative is bounded, or begins with a word and takes one character after the other, so a text is
# read in linear time.
_VALUES: Final = (
    r"(?<!\w)(?:'[^']{1,200}'|\"[^\"]{1,200}\"|`[^`]{1,200}`|“[^”]{1,200}”|„[^“”]{1,200}[“”]"
    r"|‘[^’]{1,200}’|«[^»]{1,200}»)(?!\w)"
    r"|(?<![\w.+-])[\w.+-]+@[\w.-]+"
    r"|(?<![^\W_])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![^\W_])"
    r"|(?<![^\W_])[0-9a-fA-F]{8,}(?![^\W_])"
    r"|(?<![^\W_])[^\W\d_]*\d[^\W_]*"
)
# A quoted word that tells the fault, as Python and JavaScript quote the names of a program. Other quoted
# values are data, which differs from run to run. So is what is missing in a `dict`, if it looks like a name
# of a person: a key that a program has fixed begins with a small letter, and has no digits.
_KEY_ERROR: Final = "KeyError: "
_NAMES: Final = (
    rf"(?<!\w)(?:{_KEY_ERROR}'[a-z_][A-Za-z_]{{0,31}}'"
    r"|(?:AttributeError: |NameError: name |has no attribute |No module named |cannot import name "
    r"|cannot access local variable |got an unexpected keyword argument "
    r"|missing 1 required (?:positional|keyword-only) argument: "
    r"|Cannot (?:read|set) properties of (?:undefined|null) \((?:read|sett)ing )"
    r"'[A-Za-z_][A-Za-z_.]{0,31}')(?!\w)"
)
_KEPT_OR_VALUE: Final = re.compile(f"(?P<kept>{_NAMES})|{_VALUES}")
_DATES: Final = re.compile(
    r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b[ ,]{0,3}(?=#)"
)
_SEVERAL: Final = re.compile(r"#(?:[-.,:;+/ ]{0,3}#)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a step failed. `found` is what Atomic found, `said` what the endpoint said, both normalized.

    `step_name` is empty for a root, and the path of its URL for another step without a name. `error_type`
    is the name that the endpoint gave its error. `step_id`: the step that failed, which is not compared.
    """

    step_id: str
    workflow_name: str
    step_name: str = ""
    error_kind: ErrorKind | None = None
    error_type: str = ""
    response_status: int | None = None
    found: str = ""
    said: str = ""

    @property
    def id(self) -> str:
        """16 hex digits, the same for all failures with this cause."""
        _, *compared = astuple(self)
        return hashlib.sha256(canonical_json(compared)).hexdigest()[:16]

    @property
    def text(self) -> str:
        """The sentence for people."""
        return with_excerpt(self.found, self.said)

    def without_excerpt(self) -> "Cause":
        """The cause without anything that the endpoint said."""
        return replace(self, error_type="", said="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dismissal:
    """A failed run needs no action any more, since `at_ms`. `note` says why."""

    at_ms: int
    note: str = ""


def found_of(error: StepError) -> str:
    """What Atomic found, without what differs from run to run. A status stays."""
    detail = error.detail if len(error.detail) <= _STATUS_DIGITS else normalized(error.detail)
    sentence = SENTENCES[error.kind].format(detail)
    return sentence if error.last is None else f"{sentence}; last: {found_of(error.last)}"


def normalized(text: str, raised: str = "") -> str:
    """The text with one sign for each id, number, time, address and quoted value; its beginning.

    A quoted name of the program stays. `raised` is the type of the error, if it is known beside the text.
    A second time, the text stays as it is.
    """
    # Beside its type, the text of this error is the key alone.
    before = _KEY_ERROR if raised.partition(",")[0] == _KEY_ERROR[:-2] else ""
    whole = _stable(before + text[:_READ_MAX_CHARS])
    return _stable(whole[: len(before) + TEXT_MAX_CHARS]).removeprefix(before)


def _stable(text: str) -> str:
    """Repeat until nothing changes: what was replaced may have been between quotation marks of others.

    Each round leaves a shorter text, or fewer digits.
    """
    while (after := _once(text)) != text:
        text = after
    return text


def _once(text: str) -> str:
    text = _KEPT_OR_VALUE.sub(lambda found: found["kept"] or _SIGN, " ".join(text.split()))
    return _SEVERAL.sub(_SIGN, _DATES.sub("", text))
