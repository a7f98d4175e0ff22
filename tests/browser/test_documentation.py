"""The interactive documentation: issue 19, item 9."""

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.serving import Service

DRAWING_MS = 60_000  # a busy machine draws all routes for long


def test_the_documentation_works_without_another_host(visitor: Visitor, service: Service) -> None:
    """The visitor fails the test if another host is asked or the policy is violated."""
    page = visitor.visit(service, "/docs")
    page.set_default_timeout(DRAWING_MS)
    route = page.locator(".opblock").filter(has_text="/search-by-text")
    expect(route).to_be_visible(timeout=DRAWING_MS)
    route.get_by_role("button").first.click()
    route.get_by_role("button", name="Try it out").click()
    route.get_by_placeholder("query").fill("a green tree")
    route.get_by_role("button", name="Execute").click()
    expect(route.locator(".live-responses-table .response .response-col_status")).to_contain_text(
        "200"
    )
    expect(route.locator(".live-responses-table")).to_contain_text("green-tree.jpg")
