"""A guest book in Flask, mounted beside the tools: it knows nothing of them but one.

The configuration names it: `applications = ["/guestbook=guestbook:app"]` in the section
`[wsgi]`. Any other WSGI server runs it as well.

    curl -L -d name=Ann -d text='Nice place.' localhost:4334/guestbook/
    curl localhost:4334/guestbook/entries.csv
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Flask, Response, redirect, render_template_string, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from toolserver import call

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Guest book</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem;
       padding: 0 1rem; overflow-wrap: anywhere; }
input, textarea, button { font: inherit; }
input, textarea { width: 100%; box-sizing: border-box; }
dd { margin: 0 0 1rem; white-space: pre-line; }
dt { font-weight: bold; }
</style>
<h1>Guest book</h1>
{% if problem %}<p role="alert">{{ problem }}</p>{% endif %}
<dl>
{% for entry in entries %}<dt>{{ entry.greeting }}</dt><dd>{{ entry.text }}</dd>
{% else %}<dt>Nobody has been here yet.</dt>{% endfor %}
</dl>
<form method="post" action="{{ url_for('sign') }}">
<label>Name <input name="name" required maxlength="100" value="{{ name }}"></label>
<label>Text <textarea name="text" rows="4" required maxlength="2000">
{{- text -}}
</textarea></label>
<p><button>Sign</button>
</form>
<p><a href="{{ url_for('export') }}">All entries as a table</a>
</html>
"""


@dataclass(frozen=True)
class Entry:
    """What somebody wrote.

    Attributes:
        name: Who it was.
        greeting: How they were greeted.
        text: What they wrote.
    """

    name: str
    greeting: str
    text: str


app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 100_000
#: The latest entries, the last one first; they end with the process.
entries: deque[Entry] = deque(maxlen=1000)


def page(problem: str = "", name: str = "", text: str = "") -> str:
    """The page with the entries and the form.

    Args:
        problem: What was wrong with the last entry.
        name: What to fill into the form.
        text: The same.

    Returns:
        The page.
    """
    return render_template_string(
        _PAGE, entries=entries, problem=problem, name=name, text=text
    )


@app.get("/")
def index() -> str:
    """Show the guest book."""
    return page()


@app.post("/")
def sign() -> AnyResponse | tuple[str, int]:
    """Take an entry."""
    name = request.form.get("name", "").strip()
    text = request.form.get("text", "").strip()
    if not 0 < len(name) <= 100 or not 0 < len(text) <= 2000:
        problem = "A name of at most 100 and a text of at most 2000 letters, please."
        return page(problem, name[:100], text[:2000]), 400
    # Tools are called from here as from everywhere in the process.
    greeting = call("greeting.greet", name)
    entries.appendleft(Entry(name, greeting, text))
    return redirect(url_for("index"), 303)


@app.get("/entries.csv")
def export() -> Response:
    """Send all entries as they are, one by one."""

    def rows() -> Iterator[str]:
        for entry in (None, *entries):
            line = io.StringIO()
            row = ("name", "text") if entry is None else (entry.name, entry.text)
            csv.writer(line).writerow(row)
            yield line.getvalue()

    return Response(rows(), mimetype="text/csv")
