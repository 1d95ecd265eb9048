"""The page at the root of the examples."""

from characters import Characters
from greeting import Greeting
from welcome import Welcome

import toolserver.testing


def test_the_page_lists_the_tools():
    with toolserver.testing.serve(Welcome, Greeting, Characters) as server:
        page = server.http.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<h2>characters</h2>" in page.text
        assert '<a href="/characters/version">' in page.text
        assert "/greeting/greet(name: str, language: &#39;en&#39;" in page.text
        assert "tidy_name" not in page.text
        # The root takes no other tool's place, and hides no mistake.
        assert server.http.get("/characters/version").ok
        assert server.http.get("/nowhere").status_code == 404
