"""Typed text belongs to its field: it is never lost, and it never appears or applies anywhere else."""

import re

import pytest
from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at

# Typed text is applied a quarter of a second after the last key press.
LONGER_THAN_A_REST_MS = 700


@pytest.fixture
def failures(api: Api, endpoints: Endpoints) -> None:
    """Two workflows, with one failed run each."""
    for workflow in ("order", "refund"):
        api.start(endpoints.serve(f"/{workflow}", (410, 0)), f"{workflow}-1", workflow=workflow)


def page_of(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()


@pytest.mark.usefixtures("failures")
def test_a_field_of_one_page_does_not_stand_on_another(page: Page, api: Api) -> None:
    open_at(page, api, "problems")
    expect(page.locator("tbody tr")).to_have_count(2)
    page_of(page, "Runs")
    page.get_by_label("Search runs").fill("order-1")
    expect(page.get_by_label("Search runs")).to_be_focused()

    page.go_back()

    expect(page.get_by_role("heading", level=1)).to_have_text("Problems")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_label("Workflow")).to_have_value("")


@pytest.mark.usefixtures("failures")
def test_a_focused_field_shows_the_filter_in_force(page: Page, api: Api) -> None:
    open_at(page, api, where := "problems")
    page.get_by_label("Workflow").fill("order")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.evaluate("hash => { location.hash = hash; }", f"#/{api.client}/{where}?workflow=refund")
    expect(page.locator("tbody tr")).to_contain_text("refund")
    expect(page.get_by_label("Workflow")).to_have_value("refund")
    page.go_back()
    expect(page.locator("tbody tr")).to_contain_text("order")
    expect(page.get_by_label("Workflow")).to_have_value("order")


@pytest.mark.usefixtures("failures")
def test_what_is_typed_just_before_going_back_does_not_come_again(page: Page, api: Api) -> None:
    open_at(page, api, "problems?workflow=order")
    there = f"#/{api.client}/problems?workflow=refund"
    page.evaluate("hash => { location.hash = hash; }", there)
    expect(page.get_by_label("Workflow")).to_have_value("refund")
    page.get_by_label("Workflow").fill("refunds")
    page.go_back()
    expect(page.get_by_label("Workflow")).to_have_value("order")
    page.go_forward()
    expect(page.get_by_label("Workflow")).to_have_value("refund")
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)
    assert page.url.endswith("workflow=refund")
    expect(page.get_by_label("Workflow")).to_have_value("refund")


@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize(
    ("where", "label", "link", "there"),
    [
        ("problems", "Workflow", "Runs", "runs"),
        ("runs", "Search runs", "Problems", "problems"),
        ("runs", "Search runs", "Overview", "overview"),
    ],
)
def test_a_page_that_is_left_while_somebody_types_filters_nothing(
    page: Page, api: Api, where: str, label: str, link: str, there: str
) -> None:
    open_at(page, api, where)
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label(label).fill("order")
    page_of(page, link)
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)
    assert page.url.endswith(f"#/{api.client}/{there}")


@pytest.mark.usefixtures("failures")
def test_a_text_for_one_client_does_not_filter_the_runs_of_another(page: Page, api: Api) -> None:
    open_at(page, api, "problems")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Workflow").fill("order")
    page.evaluate("location.hash = '#/nobody/problems'")
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)
    assert page.url.endswith("#/nobody/problems")
    expect(page.get_by_label("Workflow")).to_have_value("")


@pytest.mark.usefixtures("failures")
def test_a_timer_that_ends_between_the_click_and_the_next_page_filters_nothing(
    page: Page, api: Api
) -> None:
    open_at(page, api, "problems")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Workflow").fill("order")
    # The script blocks until the text is to be applied, so the timer runs first after the click.
    page.evaluate(
        """hash => { location.hash = hash; const until = Date.now() + 400; while (Date.now() < until); }""",
        f"#/{api.client}/overview",
    )
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)
    assert page.url.endswith(f"#/{api.client}/overview")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


@pytest.mark.usefixtures("failures")
def test_clearing_forgets_what_is_typed_and_not_yet_in_force(page: Page, api: Api) -> None:
    open_at(page, api, "problems?workflow=refund")
    expect(page.locator("tbody tr, .blank").first).to_be_visible()
    page.get_by_label("Workflow").fill("order")
    page.get_by_role("button", name="Clear filters").last.click()
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)
    assert page.url.endswith(f"#/{api.client}/problems")
    expect(page.get_by_label("Workflow")).to_have_value("")
    expect(page.locator("tbody tr")).to_have_count(2)


@pytest.mark.parametrize("delay_ms", [40, 250])
def test_no_letter_is_lost_while_the_page_is_drawn_anew(
    page: Page, api: Api, endpoints: Endpoints, delay_ms: int
) -> None:
    api.start(endpoints.serve("/gone", (410, 0)), "k", workflow="order of ada 12")
    open_at(page, api, "problems")
    field = page.get_by_label("Workflow")
    field.press_sequentially("order of ada ", delay=delay_ms)
    expect(page).to_have_url(re.compile(r"workflow=order\+of\+ada$"))
    page.wait_for_timeout(1500)
    # A trailing space is not part of the filter, but of the text that is still being typed.
    expect(field).to_have_value("order of ada ")
    field.press_sequentially("12", delay=delay_ms)
    expect(field).to_have_value("order of ada 12")
    expect(page).to_have_url(re.compile(r"workflow=order\+of\+ada\+12$"))
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_key_that_is_typed_for_one_client_does_not_stand_for_another(page: Page, api: Api) -> None:
    page.route("**/runs?**", lambda route: route.fulfill(status=401, json={"title": "No key"}))
    page.goto(f"{api.server}/dashboard#/acme/runs")
    expect(page.get_by_label("API key")).to_be_focused()
    page.get_by_label("API key").fill("a key of acme")
    # Longer than a redraw of the page takes.
    page.wait_for_timeout(1500)
    expect(page.get_by_label("API key")).to_have_value("a key of acme")
    page.evaluate("location.hash = '#/globex/runs'")
    expect(page.get_by_role("heading", name="“globex” needs its API key")).to_be_visible()
    expect(page.get_by_label("API key")).to_have_value("")
    expect(page.get_by_label("Client")).to_have_value("globex")


def test_the_name_of_a_client_is_typed_in_peace(page: Page, api: Api) -> None:
    page.goto(f"{api.server}/dashboard#/")
    page.get_by_label("Client").press_sequentially("acme", delay=400)
    page.get_by_label("API key").fill("secret")
    page.wait_for_timeout(1200)
    expect(page.get_by_label("Client")).to_have_value("acme")
    expect(page.get_by_label("API key")).to_have_value("secret")
