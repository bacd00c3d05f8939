"""The decisions have one form, and their index lists them."""

import pytest

from decisions_index import FOLDER, SECTIONS, Decision, decision, decisions, index

ALL = decisions()
GOOD = "# Title\n\n- Status: accepted\n- Date: 2026-11-27\n\n## Context\n\nA.\n\n## Choice\n\nB.\n"


def form_of(one: Decision, names: set[str]) -> list[str]:
    """What is wrong with the form of a decision; `names` are the existing files."""
    wrong = []
    if one.status != "accepted" and one.replaced_by not in names - {one.name}:
        wrong.append(f"status {one.status!r}")
    if tuple(one.sections) != SECTIONS:
        wrong.append(f"sections {list(one.sections)}")
    wrong += [f"{title} is empty" for title, text in one.sections.items() if text in {"", "TODO"}]
    return wrong


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_a_decision_has_its_form(one: Decision) -> None:
    assert form_of(one, {other.name for other in ALL}) == []


def test_numbers_have_no_gap_and_titles_are_unique() -> None:
    assert [one.number for one in ALL] == [f"{number:04}" for number in range(1, len(ALL) + 1)]
    assert len({one.title for one in ALL}) == len(ALL)


def test_the_index_lists_them_all() -> None:
    assert (FOLDER / "README.md").read_text() == index(ALL), "run make decisions"


@pytest.mark.parametrize(
    "status",
    ["superseded", "superseded by [0002](0002-gone.md)", "superseded by [0002](0003-kept.md)", "perhaps"],
)
def test_a_status_says_what_replaced_it(status: str) -> None:
    text = GOOD.replace("accepted", status) + "\n## What would change it\n\nC.\n"
    assert form_of(decision("0001-title.md", text), {"0003-kept.md"}) == [f"status {status!r}"]
    mended = text.replace(status, "superseded by [0003](0003-kept.md)")
    assert form_of(decision("0001-title.md", mended), {"0003-kept.md"}) == []


def test_a_section_is_missed_when_it_is_missing_or_empty() -> None:
    assert form_of(decision("0001-title.md", GOOD), set()) == ["sections ['Context', 'Choice']"]
    unwritten = GOOD.replace("B.", "TODO") + "\n## What would change it\n"
    wrong = form_of(decision("0001-title.md", unwritten), set())
    assert wrong == ["Choice is empty", "What would change it is empty"]


@pytest.mark.parametrize("text", ["", GOOD.replace("- Date: ", "- When: "), GOOD.replace("## Con", "Con")])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"0001-title\.md"):
        decision("0001-title.md", text)
