"""Looks at the status page: ``python statusbrowser.py URL CHROMIUM FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.pages.browser import CONTRAST, fits, watched


def main(url: str, chromium: str, folder: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        pages = []
        for scheme in ("light", "dark"):
            for width in (390, 1400):
                context = browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                page = context.new_page()
                problems = watched(page, url)
                page.goto(f"{url}system/status/")
                expect(page.locator("#content")).to_contain_text("press.hold")
                fits(page, width)
                ratio, where = page.evaluate(CONTRAST)
                assert ratio >= 4.5, (scheme, ratio, where)
                page.screenshot(path=f"{folder}/status-{scheme}-{width}.png")
                pages.append((page, problems))
        print("busy", flush=True)
        for page, problems in pages:
            # Without being loaded again by hand.
            page.bring_to_front()
            expect(page.locator("#content")).to_contain_text(
                "0 run in this process", timeout=15_000
            )
            assert not problems, problems
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
