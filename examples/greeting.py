"""Greetings: one small method, and every way to fit it to REST.

Try it:

    curl 'localhost:4334/greeting/greet?who=Ann'
    curl -H 'Accept: text/plain' 'localhost:4334/greeting/greet?who=Ann'
    curl -d '{"name": "Ann", "language": "de"}' -H 'Content-Type: application/json' \
        localhost:4334/greeting/greet
    tsctl call greeting.greet name=Ann

Without waiting for it, and with an answer that is there to be asked for:

    curl -i -H 'Prefer: respond-async' \
        'localhost:4334/greeting/greet?who=Ann&delay=3'
    curl 'localhost:4334/jobs/ID/result?wait=10'
    tsctl call --async greeting.greet name=Ann delay=3

A server that was started with --contracts also checks what `greet` asks for and
promises:

    curl 'localhost:4334/greeting/greet?who=%20'
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from toolserver import (
    Call,
    Markup,
    Request,
    Response,
    StandardTool,
    call,
    ensure,
    generator,
    hidden,
    html,
    on_error,
    parser,
    read_only,
    redirect,
    register,
    require,
    rest,
    validate,
)
from toolserver.errors import ApplicationError, InvalidParams

Language = Literal["en", "de", "fr"]

_WORDS: dict[Language, str] = {"en": "Hello", "de": "Hallo", "fr": "Bonjour"}

_STYLE = html.style("""
:root { color-scheme: light dark; font: 1.1rem/1.6 system-ui, sans-serif; }
body { margin: 15vh auto; max-width: 36rem; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.8rem, 8vw, 3rem); line-height: 1.2; }
""")


class Unwelcome(ApplicationError):
    """Somebody who is not greeted."""

    code = -32100
    status = 422


@dataclass(frozen=True)
class Guest:
    """Somebody to greet.

    Attributes:
        name: What they are called.
        language: What they understand.
    """

    name: str
    language: Language = "en"


@dataclass(frozen=True)
class GreetingSettings:
    """The section ``[tool.greeting]`` of the configuration may change these."""

    unwelcome: tuple[str, ...] = ("Voldemort",)
    longest_wait: float = 10.0


@register("greeting")
class Greeting(StandardTool):
    """Says hello."""

    settings = GreetingSettings()

    @read_only
    @require(lambda name: name.strip(), "the name is not blank")
    @ensure(lambda result, name: name in result, "the greeting says the name")
    def greet(self, name: str, language: Language = "en", delay: float = 0.0) -> str:
        """Greet somebody.

        Args:
            name: Who is greeted.
            language: The language of the greeting.
            delay: Seconds to wait first; others are served meanwhile.

        Returns:
            The greeting.

        Raises:
            Unwelcome: The name is not one to be spoken.
        """
        if name in self.settings.unwelcome:
            raise Unwelcome(f"name: {name!r} is not greeted here")
        time.sleep(delay)
        return f"{_WORDS[language]} {name}!"

    @read_only
    def greet_all(self, guests: list[Guest]) -> dict[str, str]:
        """Greet several guests, each in their own language.

        Args:
            guests: Who is greeted.

        Returns:
            The greetings by name.

        Raises:
            Unwelcome: One of the names is not to be spoken.
            RequireBroken: One of the names is blank, and contracts are checked.
        """
        # Through the call path, as a caller from outside would.
        return {
            guest.name: call("greeting.greet", guest.name, guest.language)
            for guest in guests
        }

    @hidden
    def tidy_name(self, name: str) -> str:
        """For other tools of this server only.

        Args:
            name: A name as somebody typed it.

        Returns:
            The name without needless white space.
        """
        return " ".join(name.split())

    # How `greet` looks over REST.

    @parser(greet, "GET")
    def _from_query(self, request: Request) -> dict[str, str]:
        """Links may say `who` for `name`."""
        arguments = dict(request.query)
        if "who" in arguments:
            arguments["name"] = arguments.pop("who")
        if "name" in arguments:
            arguments["name"] = self.tidy_name(arguments["name"])
        return arguments

    @generator(greet, content_type="text/html")
    def _as_page(self, request: Request, greeting: str) -> Markup:
        """A page, for all who do not ask for something else."""
        return html.document("Greeting", html.h1(greeting), head=_STYLE)

    @on_error(greet)
    def _sorry(self, request: Request, error: Exception) -> str:
        """A sentence instead of the details; the status stays the error's."""
        return f"Sorry, no greeting: {error}\n"

    @validate(greet)
    def _not_too_slow(self, call: Call) -> None:
        """Look at the converted arguments before the method runs."""
        delay = call.kwargs.get("delay", call.args[2] if len(call.args) > 2 else 0.0)
        longest = self.settings.longest_wait
        if not 0 <= delay <= longest:
            raise InvalidParams(f"delay: got {delay:g}, expected 0 to {longest:g}")

    @rest("GET")
    def index(self, request: Request) -> Response:
        """What the tool's own path answers."""
        return redirect("/greeting/greet?name=World")

    @rest("GET", name="languages")
    def list_languages(self, request: Request) -> Markup:
        """A page that is no part of RPC."""
        words = html.ul(
            html.li(html.a(word, href=f"greet?name=World&language={tag}"), lang=tag)
            for tag, word in _WORDS.items()
        )
        return html.document("Languages", html.h1("Languages"), words, head=_STYLE)
