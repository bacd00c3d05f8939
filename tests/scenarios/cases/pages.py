"""The pages: one dashboard, one description, and files beside them; nothing of strangers is run."""

import re

from scenarios.home import Home


async def scenario_every_page_and_file_holds_the_strict_policy(home: Home) -> None:
    for path in ("/dashboard", "/docs"):
        page = await home.request("GET", path)
        text = page.body.decode()
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "<script>" not in text
        assert " style=" not in text
        files = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
        assert files
        for file in files:
            assert (await home.request("GET", file)).status == 200, file
            assert_strict((await home.request("GET", file)).headers)
        assert_strict(page.headers)


async def scenario_the_dashboard_s_script_is_a_module_of_its_own(home: Home) -> None:
    script = await home.request("GET", "/static/dashboard.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert b"innerHTML" not in script.body


async def scenario_no_file_outside_is_served(home: Home) -> None:
    for file in ("__init__.py", "nothing.js", ".hidden", "..%2f__init__.py", "%2e%2e"):
        assert (await home.request("GET", f"/static/{file}")).status == 404, file


def assert_strict(headers: object) -> None:
    """Nothing inline, nothing from elsewhere, no guessing of types."""
    assert isinstance(headers, dict)
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
