"""Reads and searches the site in a browser: ``python reader.py FOLDER CHROMIUM``.

A process of its own, because the browser's driver needs an unpatched one.
"""

from __future__ import annotations

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from playwright.sync_api import Page, expect, sync_playwright

PAGES = [
    *("index", "tools", "protocols", "design", "benchmarks"),
    *("reference/python", "reference/python/tools", "reference/configuration"),
    *("reference/tsctl", "reference/errors"),
]


class Handler(SimpleHTTPRequestHandler):
    """Serves the site without writing a log."""

    def log_message(self, format: str, *args: object) -> None: ...


def main(folder: str, chromium: str) -> None:
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=folder)
    ) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        read(f"http://127.0.0.1:{server.server_address[1]}", chromium)
        server.shutdown()


def read(url: str, chromium: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        for scheme in ("light", "dark"):
            for width in (390, 1400):
                context = browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                page = context.new_page()
                problems = watched(page, url)
                for name in PAGES:
                    page.goto(f"{url}/{name}.html")
                    fits(page, width)
                is_of(page, scheme)
                assert not problems, problems
                context.close()
        page = browser.new_page()
        problems = watched(page, url)
        searches(page, url)
        assert not problems, problems
        browser.close()


def watched(page: Page, url: str) -> list[str]:
    """What the page complains of, and what it asks of other hosts, from now on."""
    problems: list[str] = []

    def note(address: str) -> None:
        if not address.startswith((url, "data:")):
            problems.append(address)

    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: note(request.url))
    return problems


def fits(page: Page, width: int) -> None:
    """Nothing makes the whole page wider than the screen."""
    found = page.evaluate("document.documentElement.scrollWidth")
    assert found <= width, (page.url, found, width)


def is_of(page: Page, scheme: str) -> None:
    """The page is light or dark, as the reader's system is."""
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(color.removeprefix("rgb(").partition(",")[0])
    assert (red > 200) == (scheme == "light"), (scheme, color)


def searches(page: Page, url: str) -> None:
    page.goto(f"{url}/reference/errors.html")
    box = page.locator("input.sidebar-search")
    box.fill("idempotency key")
    box.press("Enter")
    found = page.locator("#search-results a", has_text="REST")
    expect(found.first).to_be_visible(timeout=20_000)
    found.first.click()
    expect(page.locator("h1")).to_have_text("REST", use_inner_text=True)
    page.goto(f"{url}/search.html?q=AuthenticatedTool")
    expect(page.locator("#search-results a").first).to_be_visible(timeout=20_000)
    page.goto(f"{url}/search.html?q=xyzzyplugh")
    expect(page.locator("#search-results")).to_contain_text(
        "did not match", timeout=20_000
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
