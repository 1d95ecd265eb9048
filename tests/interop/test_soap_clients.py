"""SOAP clients of other languages, as their users have them.

Each is a small script in ``clients/`` that calls the sample tools and prints what it
has got as JSON. A client that is not installed is skipped; in CI it has to be there.
"""

import datetime as dt
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import gevent
import pytest
import suds
import suds.client

import toolserver.testing
from tests.sample import Faults, Types
from toolserver import StandardTool, register

CLIENTS = Path(__file__).parent / "clients"
VERSIONS = pytest.mark.parametrize("version", ["1.1", "1.2"])
TEXT = " ä <&> \n𝄞"
#: What the codes of faults say, whose fault it is.
CALLER = {"1.1": "soapenv:Client", "1.2": "env:Sender"}
SERVER = {"1.1": "soapenv:Server", "1.2": "env:Receiver"}


@dataclass
class Line:
    item: str
    count: int = 1


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)
    note: str | None = None


@register("interop.shop")
class Shop(StandardTool):
    """What gSOAP makes code of; the sample tools would take long to compile."""

    def echo(self, text: str) -> str:
        return text

    def place(self, order: Order, when: dt.datetime, urgent: bool = False) -> Order:
        assert when.timestamp() == 1767323045
        return order

    def prices(self, prices: dict[str, Decimal]) -> dict[str, Decimal]:
        return prices

    def nothing(self, value: int | None = 5) -> int | None:
        return value

    def either(self, value: int | str) -> int | str:
        return value

    def fail(self) -> None:
        raise ValueError("broken")


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Types, Faults, Shop) as running:
        yield running.url("")


def missing(what):
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, which CI has to have")
    pytest.skip(f"{what} is not installed")


def run(*command, **facts):
    """The output of a program that has to succeed."""
    if shutil.which(command[0]) is None:
        missing(command[0])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, **facts
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def faults(version):
    return {
        "raises": [SERVER[version], "ValueError: broken", "ValueError"],
        "missing": [CALLER[version], "no such thing", "NotFound"],
        "own": [CALLER[version], "sold out", "OutOfStock"],
    }


@pytest.fixture(scope="module")
def php():
    if "soap" not in run("php", "-m").split():
        missing("the soap extension of PHP")
    return "php"


@pytest.fixture(scope="module")
def perl():
    if shutil.which("perl") is None:
        missing("perl")
    command = ["perl", "-MSOAP::Lite", "-e", "1"]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        missing("SOAP::Lite")
    return "perl"


@pytest.fixture(scope="module")
def node():
    """The environment in which Node finds its packages, installed once."""
    lock = (CLIENTS / "package-lock.json").read_bytes()
    folder = Path(sys.prefix) / "interop" / hashlib.sha256(lock).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    # Other processes of the tests want the same.
    with open(folder / "lock", "w") as turn:
        gevent.get_hub().threadpool.apply(fcntl.flock, (turn, fcntl.LOCK_EX))
        if not (folder / "node_modules" / ".package-lock.json").exists():
            install(folder)
    return {**os.environ, "NODE_PATH": str(folder / "node_modules")}


def install(folder):
    for name in ("package.json", "package-lock.json"):
        shutil.copy(CLIENTS / name, folder)
    if shutil.which("npm") is None:
        missing("npm")
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        missing(f"what {CLIENTS / 'package.json'} names: {done.stderr}")


@VERSIONS
def test_php_with_the_wsdl(server, php, version):
    found = json.loads(run(php, CLIENTS / "wsdl.php", server, version))
    line = {"item": "a", "count": 2}
    assert found == {
        "bool_": True,
        "int_": 2**62,
        "float_": 1.5,
        "infinity": True,
        "decimal": "1.50",
        "str_": TEXT,
        "bytes_": "00ff",
        "datetime": "2026-01-02T03:04:05+02:00",
        "date": "2026-01-02",
        "time": "03:04:05",
        "timedelta": "PT90S",
        "enum": "red",
        "list_": [1, 2],
        "empty": {},
        "tuple_": {"item1": 1, "item2": "a"},
        "dict_": [{"key": "a b", "value": 1}],
        "nothing": None,
        "default": 5,
        "union": {"string": "5"},
        "record": {"id": 1, "lines": {"item": [line]}, "note": None},
        "typed_dict": {"title": "M"},
        # Without a type in the schema PHP sends none either.
        "untyped": ["5", "x", "true"],
        "none": {},
        **faults(version),
    }


@VERSIONS
def test_php_without_a_wsdl(server, php, version):
    found = json.loads(run(php, CLIENTS / "plain.php", server, version))
    assert found == {
        "bool_": True,
        "int_": 2**62,
        "float_": 1.5,
        "whole": 5.0,
        "decimal": "1.50",
        "str_": TEXT,
        "digits": "007",
        "bytes_": "00ff",
        "datetime": "2026-01-02T03:04:05",
        "enum": "red",
        "list_": [1, 2],
        "empty": [],
        "tuple_": [1, "a"],
        "dict_": {"a b": 1},
        "nothing": None,
        "default": 5,
        "named": 9,
        "record": {"id": 1, "lines": [{"item": "a", "count": 2}], "note": None},
        "object": {"id": 1, "lines": [{"item": "b", "count": 1}], "note": None},
        "untyped": [1, "x", {"a": [True, None]}],
        "none": None,
        **faults(version),
    }


def test_soap_lite(server, perl):
    # Of SOAP 1.2 it does not know the arrays.
    found = json.loads(run(perl, CLIENTS / "soap_lite.pl", server, "1.1"))
    assert found == {
        "bool_": 1,
        "int_": "2147483648",
        "float_": "1.5",
        "whole": "5.0",
        "decimal": "1.50",
        "str_": TEXT,
        "digits": "007",
        "bytes_": "00ff",
        "datetime": "2026-01-02T03:04:05",
        "enum": "red",
        "list_": ["1", "2"],
        "empty": [],
        "tuple_": ["1", "a"],
        "dict_": {"a": "1", "b": "2"},
        "nothing": None,
        "default": "5",
        "named": "9",
        "record": {"id": "1", "lines": [{"item": "a", "count": "2"}], "note": None},
        "untyped": ["1", "x", {"a": ["b"]}],
        "none": None,
        **faults("1.1"),
    }


@VERSIONS
def test_node(server, node, version):
    found = json.loads(run("node", CLIENTS / "node.js", server, version, env=node))
    assert found == {
        "bool_": True,
        "int_": 2**31,
        "float_": 1.5,
        "decimal": 1.5,
        "str_": "ä <&> 𝄞",
        "bytes_": "00ff",
        "datetime": "2026-01-02T03:04:05.000Z",
        "date": "2026-01-02T00:00:00.000Z",
        "enum": "red",
        "list_": [1, 2],
        "tuple_": {"item1": 1, "item2": "a"},
        "dict_": [{"key": "a b", "value": 1}],
        "nothing": None,
        "default": 5,
        "union": {"string": "5"},
        # The package leaves out what is nil.
        "record": {"id": 1, "lines": {"item": [{"item": "a", "count": 2}]}},
        "typed_dict": {"title": "M"},
        "untyped": "x",
        "none": None,
        **faults(version),
    }


def test_strong_soap(server, node):
    found = json.loads(run("node", CLIENTS / "strong_soap.js", server, env=node))
    line = {"item": "a", "count": 2}
    assert found == {
        "bool_": True,
        "int_": 2**31,
        "float_": 1.5,
        "str_": "ä <&> 𝄞",
        "enum": "red",
        "list_": {"item": [1, 2]},
        "dict_": {"item": [{"key": "a b", "value": 1}]},
        "default": 5,
        "union": {"string": "5"},
        "record": {"id": 1, "lines": {"item": [line]}, "note": None},
        "untyped": "x",
        "none": True,
        "raises": {"type": "ValueError", "message": "ValueError: broken"},
        "missing": {"type": "NotFound", "message": "no such thing"},
        "own": {"type": "OutOfStock", "message": "sold out"},
    }


@pytest.mark.parametrize("port", ["11", "12"])
def test_suds(server, port):
    client = suds.client.Client(f"{server}/WSDL/sample/types", cache=None)
    client.set_options(port=f"SampleTypesSoap{port}Port")
    call = client.service
    assert call.str_(TEXT) == TEXT
    assert call.int_(2**62) == 2**62
    assert call.bool_(True) is True
    when = dt.datetime(2026, 1, 2, 3, 4, 5)
    assert call.datetime(when) == when
    assert call.list_({"item": [1, 2]}).item == [1, 2]
    (entry,) = call.dict_({"item": [{"key": "a b", "value": 1}]}).item
    assert (entry.key, entry.value) == ("a b", 1)
    lines = {"item": [{"item": "a", "count": 2}]}
    order = call.record({"id": 1, "lines": lines})
    assert (order.id, order.lines.item[0].count, order.note) == (1, 2, None)
    assert call.optional() == 5
    assert call.union({"string": "5"}).string == "5"
    assert call.untyped("x") == "x"
    assert call.none() is None
    faulty = suds.client.Client(f"{server}/WSDL/sample/faults", cache=None)
    with pytest.raises(suds.WebFault) as caught:
        faulty.service.raises()
    assert caught.value.fault.detail.ToolFault.type == "ValueError"


@VERSIONS
def test_gsoap(server, version, tmp_path):
    if not Path("/usr/include/stdsoap2.h").exists():
        missing("the library of gSOAP")
    run("wsdl2h", "-o", "shop.h", f"{server}/WSDL/interop/shop", cwd=tmp_path)
    imports = "/usr/share/gsoap/import"
    flags = ["-2" if version == "1.2" else "-1", *("-j", "-C", "-x", "-L"), "-I"]
    run("soapcpp2", *flags, imports, "shop.h", cwd=tmp_path)
    sources = [CLIENTS / "gsoap.cpp", "soapC.cpp", "soapInteropShopSoap11Proxy.cpp"]
    run("g++", "-w", "-I.", "-o", "client", *sources, "-lgsoap++", cwd=tmp_path)
    assert run(tmp_path / "client", f"{server}/SOAP/interop/shop").splitlines() == [
        "echo  ä <&> 𝄞",
        f"place {2**62} book 1 no note",
        "prices a b 1.50",
        "default 5",
        "either 1",
        "fail ValueError: ValueError: broken",
    ]
