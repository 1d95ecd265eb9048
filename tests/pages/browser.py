"""Uses the API pages in a browser: ``python browser.py URL CHROMIUM``.

A process of its own, because the browser's driver needs an unpatched one.
"""

from __future__ import annotations

import sys

from playwright.sync_api import ConsoleMessage, Page, Request, expect, sync_playwright

#: Makes the least contrast of any text on the page, as WCAG 2.2 computes it.
CONTRAST = """
() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  let worst = [21, ""];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, node.outerHTML.slice(0, 200)];
  }
  return worst;
}
"""


def main(url: str, chromium: str) -> None:
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
                find_and_call(page, url)
                fits(page, width)
                ratio, where = page.evaluate(CONTRAST)
                assert ratio >= 4.5, (scheme, ratio, where)
                assert not problems, problems
                context.close()
        by_keyboard(browser.new_page(), url)
        each_kind_of_input(browser.new_page(), url)
        without_scripts(browser.new_context(java_script_enabled=False).new_page(), url)
        browser.close()


def watched(page: Page, url: str) -> list[str]:
    """What the page complains of, and what it asks of other hosts, from now on."""
    problems: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((url, "data:")):
            problems.append(request.url)

    def hear(message: ConsoleMessage) -> None:
        # A browser tells of each refused request; one is made to be refused.
        if "400 (Bad Request)" not in message.text:
            problems.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", note)
    return problems


def find_and_call(page: Page, url: str) -> None:
    """Search, open a method, fill its form, call it and read the answer."""
    page.goto(f"{url}API/")
    page.get_by_role("searchbox").fill("weigh")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="weigh").click()
    method = page.locator("#weigh")
    method.get_by_text("Try it").click()
    method.get_by_label("sheets").fill("200")
    method.get_by_label("kind").select_option("thick")
    method.get_by_role("button", name="Call").click()
    expect(method.locator(".answer")).to_have_text("1.0")
    expect(method.locator(".status")).to_contain_text("200 OK")
    expect(method.locator("output .copy")).to_contain_text(
        """-d '{"sheets": 200, "kind": "thick"}'"""
    )
    expect(method.locator("output")).to_be_focused()
    # What is wrong is told, by the page or by the server.
    method.get_by_label("sheets").fill("many")
    method.get_by_role("button", name="Call").click()
    expect(method.locator(".problem")).to_contain_text('sheets: got "many"')
    method.get_by_label("sheets").fill("1.5")
    method.get_by_role("button", name="Call").click()
    expect(method.locator(".status")).to_contain_text("400 Bad Request")
    expect(method.locator(".answer")).to_contain_text("sheets")
    for part in page.get_by_text("Call it from elsewhere").all():
        part.click()


def fits(page: Page, width: int) -> None:
    """Nothing is wider than the window."""
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, (width, wide)


def by_keyboard(page: Page, url: str) -> None:
    """All of it works without a mouse."""
    page.goto(f"{url}API/paper.mill/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    summary = page.locator("#weigh summary").first
    for _ in range(40):
        page.keyboard.press("Tab")
        if summary.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("3")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#weigh .answer")).to_have_text("0.015")


def each_kind_of_input(page: Page, url: str) -> None:
    """Texts, numbers of any size, files, JSON and what is left out arrive as meant."""
    page.goto(f"{url}API/inputs/")
    method = page.locator("#take")
    method.get_by_text("Try it").click()
    method.get_by_label("text", exact=False).first.fill('a "b"\n\\c </script>')
    method.get_by_label("number").fill("123456789012345678")
    method.get_by_label("flag").select_option("true")
    method.get_by_label("octets").set_input_files(
        {"name": "a", "mimeType": "", "buffer": b"\x00\xff"}
    )
    method.get_by_label("day").fill("2026-01-31")
    method.get_by_label("part").fill('{"name": "x", "count": 2}')
    method.get_by_role("button", name="Call").click()
    answer = method.locator(".answer")
    expect(answer).to_contain_text("123456789012345678")
    text = answer.inner_text()
    for expected in (r"a \"b\"\n\\c </script>", '"AP8="', '"2026-01-31"', "null"):
        assert expected in text, (expected, text)
    # A method whose arguments REST reads in its own way is called over JSON-RPC.
    page.goto(f"{url}API/paper.mill/")
    method = page.locator("#look")
    method.get_by_text("Try it").click()
    method.get_by_label("where").fill("here")
    method.get_by_role("button", name="Call").click()
    expect(method.locator(".answer")).to_contain_text('"result": "here"')


def without_scripts(page: Page, url: str) -> None:
    """Everything but trying works without scripts."""
    page.goto(f"{url}API/")
    page.get_by_role("searchbox").fill("weigh")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="weigh").click()
    expect(page.locator("#weigh .signature")).to_be_visible()
    expect(page.get_by_text("Try it").first).to_be_hidden()
    page.locator("#weigh").get_by_text("Call it from elsewhere").click()
    expect(page.locator("#weigh pre code").nth(1)).to_be_visible()


if __name__ == "__main__":
    main(*sys.argv[1:])
