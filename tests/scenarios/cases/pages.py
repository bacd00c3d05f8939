"""The pages (the dashboard and the API's description) and their files run no foreign scripts."""

import posixpath
import re

from atomic.protocol import problems
from scenarios.runtime import Runtime

VENDORED = "/static/vendor/preact-htm.js"


async def scenario_every_page_and_file_holds_the_strict_policy(runtime: Runtime) -> None:
    for path in ("/dashboard", "/docs"):
        page = await runtime.request("GET", path)
        text = page.body.decode()
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "<script>" not in text
        assert " style=" not in text
        files = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
        assert files
        for file in files:
            assert (await runtime.request("GET", file)).status == 200, file
            assert_strict((await runtime.request("GET", file)).headers)
        assert_strict(page.headers)


async def scenario_a_refusal_leads_to_what_the_server_says_about_it(runtime: Runtime) -> None:
    for method, path in (("GET", "/no/such/path/at/all"), ("PUT", "/health")):
        refused = await runtime.request(method, path)
        name = refused.json["type"].removeprefix("urn:atomic:problem:")
        assert refused.headers["link"] == f'</docs#{name}>; rel="help"'
    page = (await runtime.request("GET", "/docs")).body.decode()
    named = re.findall(r' id="([^"]+)"', page)
    assert {kind.name for kind in problems.ALL} <= set(named)
    assert len(named) == len(set(named))


async def scenario_the_address_of_the_server_leads_to_its_dashboard(runtime: Runtime) -> None:
    reply = await runtime.request("GET", "/")
    assert (reply.status, reply.headers["location"], reply.body) == (303, "/dashboard", b"")


async def scenario_every_module_of_the_dashboard_is_served(runtime: Runtime) -> None:
    """Modules import each other by relative paths, so all can be found from the first one."""
    seen: set[str] = set()
    left = ["/static/main.js"]
    while left:
        path = left.pop()
        seen.add(path)
        module = await runtime.request("GET", path)
        assert (module.status, module.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
        assert_strict(module.headers)
        text = module.body.decode()
        # Preact can set inner HTML on request (which the browser's policy would refuse); no module requests
        # it.
        html = r"dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b"
        assert path == VENDORED or not re.search(html, text), path
        imports = re.findall(r'^(?:import|\} from|export .* from) .*?"(\.[^"]+)";$', text, re.MULTILINE)
        found = {posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in imports}
        left += found - seen - set(left)
    assert VENDORED in seen
    assert len(seen) > 10


async def scenario_no_file_outside_is_served(runtime: Runtime) -> None:
    outside = ["__init__.py", "nothing.js", ".hidden", "..%2f__init__.py", "%2e%2e", "views", "views/"]
    outside += ["views/nothing.js", "views/..%2fmain.js"]
    for file in outside:
        reply = await runtime.request("GET", f"/static/{file}")
        # Some clients themselves make `/` of `/static/%2e%2e`.
        assert reply.status == 404 or reply.headers.get("location") == "/dashboard", file


def assert_strict(headers: object) -> None:
    """Assert the strict policy: nothing inline, nothing from other hosts, no content sniffing."""
    assert isinstance(headers, dict)
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
