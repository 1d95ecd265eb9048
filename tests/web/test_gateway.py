"""Unmodified WSGI applications inside the server."""

from __future__ import annotations

import http.client
import io
import sys
import wsgiref.validate
from types import ModuleType

import bottle
import django
import flask
import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler as DjangoHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

import toolserver.testing
from tests.sample import Faults
from toolserver import register_wsgi
from toolserver.errors import StartError
from toolserver.web import gateway


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """What a test registers goes with it."""
    monkeypatch.setattr(gateway, "registered", [])
    monkeypatch.setattr("toolserver.assembly.applications", gateway.registered)


def flask_app():
    app = flask.Flask("blog")

    @app.get("/")
    def index():
        return f"root {flask.url_for('post', number=3)}"

    @app.route("/post/<int:number>", methods=["GET", "POST"])
    def post(number):
        return {"number": number, "form": flask.request.form.to_dict()}

    @app.post("/length")
    def length():
        return str(len(flask.request.get_data()))

    @app.get("/stream")
    def stream():
        return flask.Response(f"piece {number}\n" for number in range(3))

    @app.get("/file")
    def file():
        return flask.send_file(io.BytesIO(b"content"), download_name="a.txt")

    @app.get("/user")
    def user():
        return flask.request.remote_user or "nobody"

    @app.get("/broken")
    def broken():
        raise ValueError("broken")

    return app


def test_flask_runs_unmodified():
    register_wsgi("blog", flask_app())
    with toolserver.testing.serve(Faults) as server:
        assert server.http.get("/WSGI/blog/").text == "root /WSGI/blog/post/3"
        answer = server.http.post("/WSGI/blog/post/5", data={"a": "ä"})
        assert answer.json() == {"number": 5, "form": {"a": "ä"}}
        body = b"x" * 1_000_000
        assert server.http.post("/WSGI/blog/length", data=body).text == "1000000"
        pieces = (part for part in [body, body])
        assert server.http.post("/WSGI/blog/length", data=pieces).text == "2000000"
        answer = server.http.get("/WSGI/blog/stream")
        assert answer.text == "piece 0\npiece 1\npiece 2\n"
        assert server.http.get("/WSGI/blog/file").text == "content"
        assert server.http.get("/WSGI/blog/user").text == "nobody"
        assert server.http.get("/WSGI/blog/broken").status_code == 500
        assert server.http.get("/WSGI/blog/nowhere").status_code == 404
        # Others are as before.
        assert server.http.get("/sample/faults/fine").text == "fine"
        assert server.http.get("/WSGI/blogs/").status_code == 404


def test_bottle_runs_unmodified_at_a_mount_point():
    app = bottle.Bottle()

    @app.get("/hello/<name>")
    def hello(name):
        return f"{bottle.request.script_name} {bottle.request.path} {name}"

    register_wsgi("shop", app, mount="/my/shop")
    with toolserver.testing.serve() as server:
        answer = server.http.get("/my/shop/hello/J%C3%B6rg")
        answer.encoding = "utf-8"
        assert answer.text == "/my/shop/ /hello/Jörg Jörg"
        assert server.http.get("/my/shops/hello/x").status_code == 404


@pytest.fixture(scope="module")
def django_app():
    urls = ModuleType("gateway_urls")
    urls.urlpatterns = [
        path("page/<str:name>", lambda r, name: HttpResponse(f"{r.path} {name}")),
        path("stream", lambda r: StreamingHttpResponse(iter([b"a", b"b"]))),
    ]
    sys.modules["gateway_urls"] = urls
    django_settings.configure(
        ROOT_URLCONF="gateway_urls", ALLOWED_HOSTS=["*"], SECRET_KEY="test"
    )
    django.setup()
    yield DjangoHandler()
    del sys.modules["gateway_urls"]


def test_django_runs_unmodified(django_app):
    register_wsgi("site", django_app)
    with toolserver.testing.serve() as server:
        answer = server.http.get("/WSGI/site/page/one")
        assert answer.text == "/WSGI/site/page/one one"
        assert server.http.get("/WSGI/site/stream").text == "ab"


def test_the_environment_keeps_to_the_specification():
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(environ["SCRIPT_NAME"].encode("latin-1") + b" ")
        write(environ["PATH_INFO"].encode("latin-1") + b" ")
        return [environ["wsgi.input"].read(100)]

    register_wsgi("checked", wsgiref.validate.validator(app))
    with toolserver.testing.serve() as server:
        answer = server.http.post("/WSGI/checked/a%2Fb/%C3%A4", data=b"body")
        assert answer.content.decode() == "/WSGI/checked /a/b/ä body"
        assert server.http.get("/WSGI/checked").text == "/WSGI/checked  "
        assert server.http.head("/WSGI/checked/x").status_code == 200


def test_applications_come_from_the_settings(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "gateway_module.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [environ['SCRIPT_NAME'].encode()]\n"
    )
    lines = ["one=gateway_module:app", "/two=gateway_module:app"]
    with toolserver.testing.serve(config={"wsgi": {"applications": lines}}) as server:
        assert server.http.get("/WSGI/one/x").text == "/WSGI/one"
        assert server.http.get("/two").text == "/two"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "expected name=package.module:app"),
        ("a=nowhere_at_all:app", "No module named 'nowhere_at_all'"),
        ("a=io:nope", "AttributeError"),
        ("a=io:SEEK_SET", "cannot be called"),
        ("a b=io:open", "expected name="),
    ],
)
def test_what_cannot_be_served_is_named(line, message):
    config = {"wsgi": {"applications": [line]}}
    with (
        pytest.raises(StartError, match=message),
        toolserver.testing.serve(config=config),
    ):
        pass


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/mnt/x", "/mnt /x"),
        ("/%6dnt/x", "/mnt /x"),
        ("/%6Dn%74", "/mnt "),
        ("/mnt/%78%2Fy%20", "/mnt /x/y "),
        ("/mnt%2Fx", None),
        ("/%2Fmnt/x", None),
    ],
)
def test_escapes_lead_around_no_mount_point(path, text):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode("latin-1")]

    register_wsgi("one", app, mount="/mnt")
    with toolserver.testing.serve() as server:
        connection = http.client.HTTPConnection(*server.worker.http.local, timeout=9)
        connection.request("GET", path)
        answer = connection.getresponse()
        got = answer.read().decode("latin-1") if answer.status == 200 else None
        connection.close()
        assert got == text


def test_one_place_is_for_one_application():
    register_wsgi("one", flask_app(), mount="/a")
    register_wsgi("two", flask_app(), mount="/a")
    with (
        pytest.raises(StartError, match="two applications are mounted at /a"),
        toolserver.testing.serve(),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "app", "mount"),
    [
        ("a", None, ""),
        ("a/b", print, ""),
        ("a", print, "shop"),
        ("a", print, "/a/../b/"),
    ],
)
def test_what_is_no_application_cannot_be_registered(name, app, mount):
    with pytest.raises(TypeError, match="register_wsgi: got"):
        register_wsgi(name, app, mount=mount)


def test_a_mount_that_hides_a_tool_is_told_of(caplog):
    register_wsgi("over", lambda environ, start_response: [], mount="/sample")
    with toolserver.testing.serve(Faults) as server:
        urls = dict(server.worker.urls)
    assert "the application at /sample hides the tool 'sample.faults'" in caplog.text
    assert urls["API"].endswith("/API/")
    # Nothing answers at its own path: it is found among the pages.
    assert "sample.faults" not in urls
