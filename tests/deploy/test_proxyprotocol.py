"""Behind proxies that forward TCP and tell whose connection it is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager, suppress

import pytest

from tests.deploy.nginx import PROGRAM as NGINX
from tests.deploy.nginx import STREAM
from tests.http.raw_http import GET, Client, wait_for
from toolserver import StandardTool, context, read_only, register
from toolserver.declarations import declared
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.logs import AccessLog
from toolserver.settings import ServerSettings, Settings
from toolserver.testing import serve
from toolserver.worker import Worker

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
#: Of the loopback network, so that there are clients of several addresses.
ANN, EVE = "127.0.0.8", "127.0.0.9"
WHO = GET.replace(b" / ", b" /beforetls/who ")

NGINX_CONF = """
load_module {stream};
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
stream {{
    server {{
        listen 127.0.0.1:{port};
        proxy_pass {upstream};
        proxy_protocol on;
    }}
}}
"""
HAPROXY_CONF = """
defaults
    mode tcp
    timeout connect 15s
    timeout client 15s
    timeout server 15s
frontend clients
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    option httpchk GET /beforetls/health
    server one {upstream} {sends} check inter 100ms
"""


@register("beforetls")
class BeforeTLS(StandardTool):
    """What there is to ask about a proxy."""

    checks: tuple[str, ...] = ()
    askers: tuple[str, ...] = ()

    @read_only
    def who(self) -> str:
        request = context.request
        self.askers += (request.peer,)
        return f"{request.peer}:{request.peer_port}"

    @read_only
    def health(self) -> str:
        self.checks += (context.request.peer,)
        return "well"


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def server(tmp_path_factory, lines):
    home = Home(tmp_path_factory.mktemp("home"))
    home.create()
    (home.config / "hosts.deny").write_text(f"eve:{EVE}\n")
    settings = ServerSettings(
        port=0, trusted_proxies=("127.0.0.1",), proxy_protocol=True, hosts=("*",)
    )

    class Writer:
        write = staticmethod(lines.append)

    worker = Worker(
        Settings(server=settings),
        home,
        tools=[each for each in declared if each.cls is BeforeTLS],
        access_log=AccessLog(Writer(), "combined").write,
    )
    worker.start()
    yield worker
    worker.stop(1.0)


def with_nginx(folder, port, upstream):
    if NGINX is None or not STREAM:
        _miss("nginx with its stream module")
    file = folder / "nginx.conf"
    file.write_text(
        NGINX_CONF.format(stream=STREAM[0], folder=folder, port=port, upstream=upstream)
    )
    return [NGINX, "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")]


def with_haproxy(sends):
    def command(folder, port, upstream):
        if HAPROXY is None:
            _miss("haproxy")
        file = folder / "haproxy.cfg"
        file.write_text(HAPROXY_CONF.format(port=port, upstream=upstream, sends=sends))
        return [HAPROXY, "-db", "-f", str(file)]

    return command


def _miss(program):
    if os.environ.get("CI"):
        pytest.fail(f"{program} is not installed")
    pytest.skip(f"{program} is not installed")


PROXIES = {
    "nginx": with_nginx,
    "haproxy-v1": with_haproxy("send-proxy"),
    "haproxy-v2": with_haproxy("send-proxy-v2 proxy-v2-options crc32c,unique-id"),
}


@pytest.fixture(scope="module", params=PROXIES.values(), ids=PROXIES)
def proxy(request, server, tmp_path_factory):
    """Where clients find a proxy that forwards to the server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    host, own = server.http.local
    folder = tmp_path_factory.mktemp("proxy")
    command = request.param(folder, port, f"{host}:{own}")
    with running(command, port):
        yield port


@contextmanager
def running(command, port):
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def listens():
        assert process.poll() is None, f"{command[0]} has ended"
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True

    try:
        wait_for(listens)
        yield
    finally:
        process.terminate()
        process.wait(15)


class ClientOf(Client):
    """A raw connection from some address of this machine."""

    def __init__(self, port, address):
        self.socket = socket.create_connection(
            ("127.0.0.1", port), 20, source_address=(address, 0)
        )
        self._file = self.socket.makefile("rb")


def test_requests_come_from_the_client(proxy, server, lines):
    with ClientOf(proxy, ANN) as client:
        own = client.socket.getsockname()
        for _ in range(2):
            assert client.send(WHO).answer().body.decode() == f"{ANN}:{own[1]}"
        wait_for(lambda: any(line.startswith(f"{ANN} - - [") for line in lines))


def test_who_is_denied_is_denied_behind_the_proxy(proxy):
    with ClientOf(proxy, EVE) as client:
        lie = WHO[:-2] + f"X-Forwarded-For: {ANN}\r\n\r\n".encode()
        assert client.send(lie).answer().status == 403


def test_health_checks_of_haproxy_are_its_own(server, tmp_path):
    tool = server.registry.entry("beforetls").tool
    host, own = server.http.local
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = PROXIES["haproxy-v2"](tmp_path, port, f"{host}:{own}")
    tool.checks = ()
    with running([*command], port):
        wait_for(lambda: len(tool.checks) >= 2)
        assert set(tool.checks) == {"127.0.0.1"}


def test_clients_that_go_around_the_proxy_get_nothing(server):
    with ClientOf(server.http.local[1], EVE) as client:
        with suppress(ConnectionError):
            client.send(b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n" + WHO)
        assert client.is_closed()
    assert "192.0.2.7" not in server.registry.entry("beforetls").tool.askers


def test_the_setting_needs_proxies():
    config = {"server": {"proxy_protocol": True}}
    with (
        pytest.raises(StartError, match=r"server\.trusted_proxies"),
        serve(config=config),
    ):
        pass
