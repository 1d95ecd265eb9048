"""Follows a job by a browser's EventSource: ``python eventsource.py URL CHROMIUM``.

A process of its own, because the browser's driver needs an unpatched one.
"""

from __future__ import annotations

import json
import sys

from playwright.sync_api import sync_playwright

#: Starts a job, follows it to its end, and waits for what the browser does then.
FOLLOW = """
async () => {
  const started = await fetch("/work/wait", {
    method: "POST", headers: {"Prefer": "respond-async"},
  });
  const told = [];
  const source = new EventSource(started.headers.get("Location"));
  const note = (event) => told.push([event.type, JSON.parse(event.data).state]);
  source.addEventListener("status", (event) => {
    note(event);
    if (JSON.parse(event.data).fraction === 0.25) fetch("/work/let_go");
  });
  source.addEventListener("end", note);
  // The stream ends, the browser comes again and is told that there is nothing more.
  await new Promise((done) => {
    source.onerror = () => source.readyState === EventSource.CLOSED && done();
  });
  return told;
}
"""


def main(url: str, chromium: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.goto(f"{url}API/")
        print(json.dumps(page.evaluate(FOLLOW)))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
