"""Hello over kept connections."""

from benchmarks.messages import Request, as_json, exactly
from benchmarks.report import Line
from benchmarks.rounds import Contestant, Run
from benchmarks.servers import BareWSGI, Peer, Toolserver

HELLO = exactly(b"Hello World!")
TOOL = Request("/bench/hello")


def measure(run: Run) -> list[Line]:
    rates = run.rates(
        {
            "bare WSGI": Contestant(BareWSGI(), Request("/"), HELLO),
            "tool, no access log": Contestant(Toolserver(), TOOL, HELLO),
            "tool, access log": Contestant(Toolserver(access_log=True), TOOL, HELLO),
            "pywsgi": Contestant(Peer("hello_pywsgi.py"), Request("/"), HELLO),
            "uvicorn": Contestant(Peer("hello_uvicorn.py"), Request("/"), HELLO),
            "FastAPI": Contestant(
                Peer("fastapi_json.py"), Request("/hello"), as_json("Hello World!")
            ),
        }
    )
    what = "hello, keep-alive"
    return [
        rates.compare(what, "bare WSGI", "pywsgi", at_least=5),
        rates.compare(what, "tool, no access log", "pywsgi", at_least=2.5),
        rates.compare(what, "tool, access log", "pywsgi", at_least=2.5),
        rates.compare(what, "bare WSGI", "uvicorn", at_least=1.8),
        rates.compare(what, "bare WSGI", "FastAPI", at_least=4),
        rates.compare(what, "tool, no access log", "FastAPI", at_least=None),
    ]
