"""The server of a test is beside all others, whatever the settings of the home say."""

from __future__ import annotations

import msgspec

from tests.parity.echoes import Echoes
from tests.parity.opening import opened, told
from toolserver import StandardTool, context, read_only, register, require_group
from toolserver.home import Home
from toolserver.parity.calls import Asked
from toolserver.parity.servers import CLIENT, settings_for_parity
from toolserver.settings import Settings

ODD = {
    "server": {
        "host": "0.0.0.0",
        "port": 4334,
        "unix_socket": "var/server.sock",
        "public_url": "https://shop.example.org",
        "workers": 4,
        "tls_certificate": "config/none.pem",
        "tls_key": "config/none.pem",
        "tls_client_auth": "required",
        "tls_client_ca": "config/none.pem",
    },
    "auth": {
        "certificate": True,
        "jwt_issuer": "https://issuer.example.org",
        "authorization_servers": ["https://issuer.example.org"],
    },
    "limits": {"connections": 2, "keep_alive_requests": 1, "batch": 3},
    "errors": {"detail": "reference"},
    "xmlrpc": {"nil_members": True},
    "jobs": {"engine": "sqlite"},
    "debugger": {"enabled": True},
    "tools": {"folders": ["more", "/elsewhere"]},
}


def test_all_doors_are_open_whatever_is_configured(tmp_path):
    settings = msgspec.convert(ODD, Settings)
    plain = msgspec.structs.replace(settings, tools=Settings().tools)
    with opened(Echoes, settings=plain) as server:
        assert server.worker.http.url.startswith("http://127.0.0.1:")
        for name in ("order", "text", "strict"):
            report = server.check(f"parity.echoes.{name}", count=20)
            assert told(report) == []
            assert len(report.calls) == 8
            # With `xmlrpc.nil_members` nothing is left out.
            assert "members that are None" not in {each.name for each in report.met}
    found = settings_for_parity(settings, Home(tmp_path))
    assert found.tools.folders == (str(tmp_path / "more"), "/elsewhere")
    assert found.jobs.engine == "memory"
    assert not found.debugger.enabled


@register("parity.callers")
class Callers(StandardTool):
    @read_only
    def who(self) -> list[str]:
        require_group("testers")
        return [str(context.client), *sorted(context.groups)]


def test_who_calls_is_the_same_through_all_doors():
    with opened(Callers) as server:
        report = server.check("parity.callers.who", count=1)
        assert told(report) == []
        target = server.worker.registry.target("parity.callers.who")
        (found,) = server.inside.call([Asked(target.name, target=target)])
        assert found.value == [CLIENT, "testers"]
