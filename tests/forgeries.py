"""Forgeries that can be made from observed signed calls. All of them must be rejected."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

ID, AT, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
URL, TARGET = "atomic-url", "atomic-signature"
_SIGNED = (ID, AT, SIGNATURE, URL, TARGET)


@dataclass(frozen=True, slots=True)
class Signed:
    """A received call: headers with lower-case names, the body, the called path."""

    headers: Mapping[str, str]
    body: bytes
    path: str

    def put(self, **headers: str) -> "Signed":
        """The call with other headers; write `_` for `-` in their names."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **given})


def forgeries(call: Signed, *, by_other: Signed, elsewhere: Signed) -> dict[str, Signed]:
    """The forgeries by name.

    `by_other` was signed with another secret, `elsewhere` with the same one for another path.
    """
    forged = {**_of_parts(call, by_other, elsewhere), **_of_places(call, elsewhere)}
    forged |= dict(_of_values(call)) | dict(_of_moments(call))
    assert call not in forged.values()
    return forged


def _of_parts(call: Signed, by_other: Signed, elsewhere: Signed) -> dict[str, Signed]:
    mine, theirs, there = call.headers, by_other.headers, elsewhere.headers
    return {
        "other body": replace(call, body=call.body + b" "),
        "empty body": replace(call, body=b""),
        "body cut": replace(call, body=call.body[:-1]),
        "other secret": replace(by_other, path=call.path),
        "other secret's target": call.put(atomic_signature=theirs[TARGET]),
        "other secret's body": call.put(webhook_signature=theirs[SIGNATURE]),
        "other secret's signatures": call.put(
            webhook_signature=theirs[SIGNATURE], atomic_signature=theirs[TARGET]
        ),
        "another url's signature": call.put(atomic_signature=there[TARGET]),
        "signatures swapped": call.put(webhook_signature=mine[TARGET], atomic_signature=mine[SIGNATURE]),
        "one signature for both": call.put(atomic_signature=mine[SIGNATURE]),
        "id with a dot": call.put(webhook_id=f"{mine[ID]}.{mine[AT]}"),
        "id cut": call.put(webhook_id=mine[ID][:-1]),
    }


def _of_places(call: Signed, elsewhere: Signed) -> dict[str, Signed]:
    url = urlsplit(call.headers[URL])
    there = urlsplit(elsewhere.headers[URL])
    other_scheme = "http" if url.scheme == "https" else "https"
    return {
        "for another url": replace(elsewhere, path=call.path),
        "another host": call.put(atomic_url=url._replace(netloc="evil.example").geturl()),
        "another query": call.put(atomic_url=url._replace(query="x=2").geturl()),
        "another scheme": call.put(atomic_url=url._replace(scheme=other_scheme).geturl()),
        "url and path changed": replace(call.put(atomic_url=there.geturl()), path=elsewhere.path),
        "another path": replace(call, path=elsewhere.path),
        "half a segment": replace(call, path="/" + call.path.rpartition("/")[2][1:]),
        "longer path": replace(call, path=f"/v1{call.path}"),
        "root": replace(call, path="/"),
        "not a url": call.put(atomic_url=call.path.removeprefix("/")),
    }


def _of_values(call: Signed) -> Iterator[tuple[str, Signed]]:
    for name in _SIGNED:
        kept = {key: value for key, value in call.headers.items() if key != name}
        yield f"without {name}", replace(call, headers=kept)
        yield f"{name} empty", replace(call, headers={**kept, name: ""})
    for name in (SIGNATURE, TARGET):
        value = call.headers[name]
        for how, changed in (
            ("cut", " ".join(part[:-2] for part in value.split())),
            ("in other case", " ".join(part[:4] + part[4:].swapcase() for part in value.split())),
            ("as another version", re.sub(r"\bv1", "v2", value)),
            ("without versions", re.sub(r"\bv1a?,", "", value)),
            ("of nothing", "v1, v1a,"),
        ):
            yield f"{name} {how}", replace(call, headers={**call.headers, name: changed})


def _of_moments(call: Signed) -> Iterator[tuple[str, Signed]]:
    now_s = int(call.headers[AT])
    for moment in (str(now_s + 1), str(now_s - 1), str(now_s - 301), str(now_s + 301)):
        yield f"at {int(moment) - now_s:+}", call.put(webhook_timestamp=moment)
    for text in ("0", "-1", "now", "1e9", f"{now_s}.5", "९"):
        yield f"at {text}", call.put(webhook_timestamp=text)
