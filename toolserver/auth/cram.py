"""Tools that are called with the answer to a challenge: a shared secret, never sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar, final

from toolserver.auth.challenges import Challenges
from toolserver.auth.nonces import Nonces
from toolserver.auth.profile import AHEAD
from toolserver.errors import Forbidden, InvalidParams, StartError
from toolserver.marks import expose, hidden, read_only
from toolserver.nativethreads import in_loop
from toolserver.services import services
from toolserver.tools import StandardTool
from toolserver.unlocking import is_unlocked
from toolserver.wrappers import validate

__all__ = ["CRAMSettings", "CRAMTool", "OnlyRPCCRAMTool"]

#: Challenges that are made at once, and answered ones of a tool that are kept; each of
#: those cost its caller a right answer.
_MADE_AT_ONCE, _MOST_ANSWERED = 10, 100_000


@dataclass(frozen=True)
class CRAMSettings:
    """Settings of a tool that offers challenges.

    Attributes:
        secret: What the tool and its callers share; the tool does not start without.
        lifetime: How long a challenge can be answered, seconds.
        legacy_sha1: Whether HMAC-SHA-1 will do, for callers that know nothing else.
    """

    secret: str = ""
    lifetime: float = 300.0
    legacy_sha1: bool = False

    def __post_init__(self) -> None:
        if not self.lifetime > 0:
            raise ValueError(f"lifetime: got {self.lifetime}, expected more than 0")


class AnsweredChallenges(Nonces):
    """The memory of the running server, open in this process."""

    def __init__(self) -> None:
        home = services().home
        if home is None:
            raise RuntimeError("challenges: the server has no home to remember them in")
        # As for signatures, who open it with that much allowed for clocks ahead. It is
        # opened before the first challenge is made.
        since = int(time.time()) + AHEAD
        super().__init__(home.var / "nonces.db", most=_MOST_ANSWERED, since=since)


class CRAMTool(StandardTool, framework=True):
    """A tool that offers challenges and checks what is answered to them.

    A method that asks for more than usual takes a token as an argument and gives it to
    `check_token`; `OnlyRPCCRAMTool` does so for all methods.
    """

    settings: Any = CRAMSettings()

    def _check_settings(self) -> None:
        if not isinstance(self.settings, CRAMSettings):
            raise StartError(
                f"{type(self).__name__}.settings: got {self.settings!r}, expected "
                "an instance of CRAMSettings or of a subclass"
            )
        if not self.settings.secret:
            raise StartError(
                f'[tool."{self.namespace}"]: there is no secret; callers need one'
            )
        self._challenges = Challenges(
            self.settings.secret,
            self.namespace,
            lambda: services().part(AnsweredChallenges),
            lifetime=self.settings.lifetime,
            allows_sha1=self.settings.legacy_sha1,
        )

    @expose
    @read_only
    def get_challenges(self, count: int = 1) -> list[str]:
        """Get challenges; each can be answered once.

        The response to a challenge is its HMAC-SHA-256 under the shared secret, in
        hexadecimal digits. Both together are a token.

        Args:
            count: How many, from 1 to 10.

        Returns:
            The challenges.
        """
        if not 1 <= count <= _MADE_AT_ONCE:
            raise InvalidParams(
                f"count: got {count}, expected from 1 to {_MADE_AT_ONCE}"
            )
        make = in_loop(self._challenges.make)
        return [make() for _ in range(count)]

    @final
    @hidden
    def check_token(self, token: Any) -> None:
        """Make sure that the caller knows the secret.

        Args:
            token: A challenge and its response; whatever it is will do where the
                request is signed with the secret.

        Raises:
            Unauthenticated: They are malformed, expired, used or wrong.
        """
        if is_unlocked(self.namespace):
            return
        # The memory belongs to the loop's thread.
        in_loop(self._challenges.check)(token)


class OnlyRPCCRAMTool(CRAMTool, framework=True):
    """A tool whose methods all take a token as their first argument, over RPC alone.

    The token is no parameter of the methods: it is checked and taken away before any
    argument is converted. Other tools of the server call without one.
    """

    _takes_token: ClassVar[bool] = True

    @validate(protocol="REST")
    def _refuse_rest(self, call: Any) -> None:
        raise Forbidden("this tool is called over RPC alone, with a token")
