"""Debian's nginx with the configuration of deploy/, on the loopback address."""

from __future__ import annotations

import glob
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import gevent
import trustme

__all__ = ["PROGRAM", "STREAM", "Nginx"]

#: Debian has it where only root looks for programs.
PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
#: Where Debian's nginx has the module that forwards TCP.
STREAM = glob.glob("/usr/lib/nginx/modules/ngx_stream_module.so")
_EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
_MAIN = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/toolserver.conf;
}}
"""


class Nginx:
    """A TLS proxy before a server.

    Args:
        folder: Where its files may be.
        upstream: Address of the server.

    Attributes:
        port: Where clients find it.
        authority: A file with the certificates that they have to trust.
    """

    def __init__(self, folder: Path, upstream: str) -> None:
        self.port, plain = _free_port(), _free_port()
        self.authority = folder / "authority.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        chain = folder / "chain.pem"
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(chain, append=True)
        text = _EXAMPLE.read_text()
        for ours, theirs in {
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl;\n": "",
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "/etc/ssl/tools.example.org.pem": str(chain),
            "/etc/ssl/private/tools.example.org.key": str(folder / "key.pem"),
            "server 127.0.0.1:4334;": f"server {upstream};",
        }.items():
            assert text.count(ours) == 1, ours
            text = text.replace(ours, theirs)
        (folder / "toolserver.conf").write_text(text)
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder))
        self._log = folder / "error.log"
        self._process = subprocess.Popen(
            [PROGRAM, "-p", str(folder), "-c", "nginx.conf", "-e", str(self._log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _wait(self) -> None:
        with gevent.Timeout(10, AssertionError("nginx does not listen")):
            while self._process.poll() is None:
                with suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", self.port)).close()
                    return
                gevent.sleep(0.02)
        raise AssertionError(self._log.read_text())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
