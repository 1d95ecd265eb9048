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

Work that nobody waits for; /jobs/<id> tells how far it is, and what came of it:

    tsctl call greeting.prepare guests='[{"name": "Ann"}, {"name": "Bob"}]' pause=2
    tsctl call greeting.remind name=Ann seconds=5
    tsctl jobs
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta

from toolserver import (
    Call,
    Markup,
    Request,
    Response,
    StandardTool,
    call,
    ensure,
    every,
    generator,
    hidden,
    html,
    on_error,
    parser,
    progress,
    read_only,
    redirect,
    register,
    require,
    rest,
    retry,
    validate,
)
from toolserver.errors import ApplicationError, InvalidParams

Language = Literal["en", "de", "fr"]
Pause = Annotated[float, Meta(ge=0, le=10)]

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

    # What goes on while its caller does something else: at once, one after the other,
    # at a time, and again and again.

    @read_only
    def greet_at_once(self, guests: list[Guest], delay: Pause = 0.0) -> list[str]:
        """Greet several guests, all at the same time.

        Args:
            guests: Who is greeted.
            delay: Seconds that each greeting takes, which is what all of them take.

        Returns:
            The greetings in the order of the guests.

        Raises:
            Unwelcome: One of the names is not to be spoken.
            RequireBroken: One of the names is blank, and contracts are checked.
        """
        jobs = [
            self.spawn(self.greet, guest.name, guest.language, delay)
            for guest in guests
        ]
        return [job.result() for job in jobs]

    def prepare(self, guests: list[Guest], pause: Pause = 0.0) -> str:
        """Prepare greetings, after those that others have asked for before.

        Args:
            guests: Who is greeted.
            pause: Seconds to rest behind each greeting.

        Returns:
            The id of the job, whose result are the greetings by name.
        """
        return self.enqueue(0, self._prepare, guests, pause).id

    @retry(times=2, backoff=1.0)
    def _prepare(self, guests: list[Guest], pause: float) -> dict[str, str]:
        greetings = {}
        for number, guest in enumerate(guests, 1):
            greetings[guest.name] = self.greet(guest.name, guest.language)
            progress(number / len(guests), f"{guest.name} is greeted")
            time.sleep(pause)
        return greetings

    def remind(
        self, name: str, seconds: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    ) -> str:
        """Greet somebody later.

        Args:
            name: Who is greeted.
            seconds: How much later.

        Returns:
            The id of the job, whose result is the greeting.
        """
        later = timedelta(seconds=seconds)
        return self.jobs(once=True).schedule(later, self.greet, name).id

    @every("0 7 * * mon-fri", tz="Europe/Berlin")
    def _good_morning(self) -> None:
        self.log.info("%s!", self.greet("Berlin", "de"))

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
