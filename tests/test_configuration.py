"""Settings: their sources, their order, their errors, the file that shows them."""

import dataclasses
import datetime
import enum
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import fields

from toolserver import samplefile
from toolserver.configuration import load, sections
from toolserver.errors import SettingsError
from toolserver.expectations import expected
from toolserver.settings import Settings
from toolserver.switches import SET, Given
from toolserver.tomllines import statements
from toolserver.toolsettings import tool_settings


@pytest.fixture
def write(tmp_path):
    """Writes a configuration file and gives its path."""

    def write(text):
        file = tmp_path / "toolserver.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def error_of(function, *args, **kwargs):
    with pytest.raises(SettingsError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def attempt(function, *args, **kwargs):
    """The message of a refusal, or what came of it."""
    try:
        return "", function(*args, **kwargs)
    except SettingsError as error:
        return str(error), None


# --- sources


def test_without_sources_all_is_default():
    configuration = load()
    assert configuration.settings == Settings()
    assert configuration.origin("server", "port") == "default"
    assert all(origin == "default" for _, _, origin in configuration)


def test_file_then_environment_then_switch(write):
    file = write('[server]\nport = 1\nhost = "a"\nbacklog = 7\n')
    environment = {"TOOLSERVER_SERVER__PORT": "2", "TOOLSERVER_SERVER__HOST": "b"}
    switches = [Given("--port", "server.port", "3")]
    configuration = load(file, environment=environment, switches=switches)
    server = configuration.settings.server
    assert (server.port, server.host, server.backlog) == (3, "b", 7)
    assert configuration.origin("server", "port") == "--port"
    assert configuration.origin("server", "host") == "TOOLSERVER_SERVER__HOST"
    assert configuration.origin("server", "backlog") == f"{file}:4"


def test_environment_has_text_for_everything():
    settings = load(
        environment={
            "TOOLSERVER_SERVER__HOSTS": "a.example, b.example",
            "TOOLSERVER_SERVER__CALL_TIMEOUT": "2.5",
            "TOOLSERVER_STATIC__LISTINGS": "true",
            "TOOLSERVER_LOG__LEVEL": "debug",
        }
    ).settings
    assert settings.server.hosts == ("a.example", "b.example")
    assert settings.server.call_timeout == 2.5
    assert settings.static.listings is True
    assert settings.log.level == "debug"


def test_variables_of_others_are_left_alone():
    environment = {"TOOLSERVER_HOME": "/x", "TOOLSERVER_PORT": "tcp://10.0.0.1:80"}
    assert load(environment=environment).settings == Settings()


def test_unknown_variable():
    environment = {"TOOLSERVER_SERVER__PROT": "1"}
    assert error_of(load, environment=environment) == (
        "TOOLSERVER_SERVER__PROT: unknown setting server.prot, did you mean port?"
    )


def test_ill_typed_variable():
    environment = {"TOOLSERVER_SERVER__PORT": "many"}
    assert error_of(load, environment=environment) == (
        "TOOLSERVER_SERVER__PORT: server.port: got 'many', "
        "expected an integer from 0 to 65535"
    )


def test_unknown_setting_of_a_switch():
    assert "did you mean server?" in error_of(
        load, switches=[Given(SET, "sever.port", "1")]
    )


# --- errors of the file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[server]\n\nprot = 80\n",
            ":3: unknown setting server.prot, did you mean port?",
        ),
        (
            '[server]\nport = "80"\n',
            ":2: server.port: got '80', expected an integer from 0 to 65535",
        ),
        (
            "server.port = 70000",
            ":1: server.port: got 70000, expected an integer from 0 to 65535",
        ),
        (
            "[server]\nport = true\n",
            ":2: server.port: got true, expected an integer from 0 to 65535",
        ),
        (
            '[log]\nformat = "xml"\n',
            """:2: log.format: got 'xml', expected "combined" or "json\"""",
        ),
        (
            "[limits]\nheader_time = nan\n",
            ":2: limits.header_time: got nan, expected a number, above 0",
        ),
        (
            "[server]\ncall_timeout = inf\n",
            ":2: server.call_timeout: got inf, expected a number, 0 or more",
        ),
        (
            "[server]\nhosts = 'a'\n",
            ":2: server.hosts: got 'a', expected a list, each item text",
        ),
        (
            "[server]\npublic_url = '::::'\n",
            ":2: server.public_url: got '::::', expected text that matches ^(https?:",
        ),
        (
            "[server]\npublic_url = 'http://[::1'\n",
            ":2: server.public_url: got 'http://[::1', expected text that matches",
        ),
        (
            "[server]\nbacklog = 9999999999\n",
            ":2: server.backlog: got 9999999999, expected an integer from 1 to 65535",
        ),
        ("\n[servr]\n", ":2: unknown section [servr], did you mean server?"),
        (
            "port = 80\n",
            ":1: setting port outside of any section, did you mean server.port?",
        ),
        ("server = 3\n", ":1: server: got a value, expected the section [server]"),
        ("tool = 3\n", ":1: tool: got a value, expected the section [tool]"),
        (
            '[tool]\n"a.b" = 1\n',
            ":2: tool.'a.b': got a value, expected the section [tool.\"a.b\"]",
        ),
        ("[server]\nport =\n", ":2:7: not valid TOML: invalid value"),
        ("[server\n", ":1:8: not valid TOML: expected ']' at the end of a table"),
        ("a = '''", ":1:8: not valid TOML: expected \"'''\""),
        ("[a]\n[a]\n", ":2:3: not valid TOML: cannot declare ('a',) twice"),
        ("a = " + "[" * 5000, ": not valid TOML: nested too deep"),
        ("\n# caf\xe9".encode("latin-1"), ":2: not valid UTF-8"),
    ],
)
def test_errors_name_file_and_line(write, text, message):
    file = write(text)
    assert error_of(load, file).startswith(f"{file}{message}")


def test_file_that_cannot_be_read(tmp_path):
    missing = tmp_path / "missing.toml"
    assert error_of(load, missing) == f"{missing}: No such file or directory"
    assert error_of(load, tmp_path) == f"{tmp_path}: Is a directory"


def test_huge_numbers(write):
    file = write("[server]\nport = 0x" + "f" * 5000 + "\n")
    assert "expected an integer from 0 to 65535" in error_of(load, file)


def test_numbers_of_too_many_digits(write):
    file = write("[server]\nport = " + "9" * 5000 + "\n")
    assert error_of(load, file).startswith(f"{file}: not valid TOML: exceeds the limit")


def test_windows_line_ends(write):
    file = write(b"[server]\r\nport = 1\r\nbacklog = 2\r\n")
    configuration = load(file)
    assert configuration.settings.server.port == 1
    assert configuration.origin("server", "backlog") == f"{file}:3"


# --- settings of tools


@dataclass(frozen=True)
class Shop:
    currency: str = "EUR"
    discount: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    mode: Literal["live", "test"] = "live"
    folder: Path = Path("x")
    days: tuple[str, ...] = ()

    def __post_init__(self):
        if self.currency == "DEM":
            raise ValueError("the mark is gone")


class Packed(msgspec.Struct, frozen=True):
    size: int = 3


def tool(declared, namespace, configuration):
    raw = configuration.settings.tool.get(namespace, {})
    return tool_settings(declared, namespace, raw, configuration)


def test_tool_settings(write):
    file = write(
        '[tool."shop.orders"]\ncurrency = "USD"\nfolder = "/tmp"\ndays = ["mo"]\n'
    )
    found = tool(Shop(), "shop.orders", load(file))
    assert found == Shop(currency="USD", folder=Path("/tmp"), days=("mo",))


def test_tool_without_section_keeps_what_it_declares():
    declared = Shop(currency="CHF")
    assert tool(declared, "shop.orders", load()) is declared


def test_tool_settings_as_struct(write):
    file = write("[tool.box]\nsize = 4\n")
    assert tool(Packed(), "box", load(file)) == Packed(4)


def test_tool_settings_from_the_environment(write):
    file = write('[tool."shop.orders"]\ncurrency = "USD"\n')
    environment = {
        "TOOLSERVER_TOOL__SHOP__ORDERS__CURRENCY": "GBP",
        "TOOLSERVER_TOOL__SHOP__ORDERS__DISCOUNT": "0.5",
    }
    found = tool(Shop(), "shop.orders", load(file, environment=environment))
    assert found == Shop(currency="GBP", discount=0.5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'curency = "USD"',
            ':2: [tool."shop"]: unknown setting curency, did you mean currency?',
        ),
        (
            "discount = 2",
            ':2: [tool."shop"]: discount: got 2, expected a number from 0 to 1',
        ),
        (
            'mode = "dry"',
            ':2: [tool."shop"]: mode: got \'dry\', expected "live" or "test"',
        ),
        ("folder = 3", ':2: [tool."shop"]: folder: got 3'),
        (
            "orders.x = 1",
            ':2: [tool."shop"]: unknown setting orders, did you mean the section '
            '[tool."shop.orders"]?',
        ),
        ('currency = "DEM"', ':2: [tool."shop"]: the mark is gone'),
    ],
)
def test_errors_in_tool_settings(write, line, message):
    file = write(f"[tool.shop]\n{line}\n")
    assert error_of(tool, Shop(), "shop", load(file)).startswith(f"{file}{message}")


def test_tool_that_has_no_settings(write):
    file = write("[tool.shop]\na = 1\n")
    assert error_of(tool, None, "shop", load(file)) == (
        f'{file}:2: [tool."shop"]: unknown setting a, the tool has no settings'
    )
    assert tool(None, "shop", load()) is None


def test_settings_given_without_a_file():
    assert tool_settings(Shop(), "shop", {"discount": 0.5}) == Shop(discount=0.5)
    assert error_of(tool_settings, Shop(), "shop", {"discount": "x"}) == (
        "[tool.\"shop\"]: discount: got 'x', expected a number from 0 to 1"
    )


def test_declared_settings_that_are_none():
    assert "expected an instance of a frozen dataclass" in error_of(
        tool_settings, {"a": 1}, "shop", {}
    )


def test_tool_setting_of_an_impossible_type():
    cls = dataclasses.make_dataclass("Odd", [("x", object)], frozen=True)
    # Anything fits `object`; a function is what no file can hold.
    assert tool_settings(cls(1), "odd", {"x": 2}).x == 2
    cls = dataclasses.make_dataclass("Odd", [("x", type(print))], frozen=True)
    assert "Odd.x" in error_of(tool_settings, cls(print), "odd", {"x": 2})


def test_tool_settings_whose_hints_cannot_be_resolved():
    @dataclass(frozen=True)
    class Unknown:
        x: "NotThere" = None  # noqa: F821

    assert error_of(tool_settings, Unknown(), "odd", {"x": 2}).endswith(
        "Unknown: name 'NotThere' is not defined"
    )


def test_a_type_that_no_words_describe():
    cls = dataclasses.make_dataclass("Odd", [("x", tuple[int, str])], frozen=True)
    assert error_of(tool_settings, cls((1, "a")), "odd", {"x": 3}) == (
        '[tool."odd"]: x: got 3: expected array, got int'
    )


# --- words


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


@pytest.mark.parametrize(
    ("text", "count"), [("= 1", 0), ("a = 1\n]", 1), ('a = "', 1), ("[[", 0)]
)
def test_statements_of_what_is_no_toml_come_to_an_end(text, count):
    assert len(list(statements(text))) == count


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (int, "an integer"),
        (Annotated[int, msgspec.Meta(gt=2, lt=5)], "an integer, above 2 and below 5"),
        (Annotated[float, msgspec.Meta(le=5)], "a number, 5 or less"),
        (float | None, "a number or nothing"),
        (Colour, '"red" or "green"'),
        (bool, "true or false"),
        (list[int], "a list, each item integer"),
        (dict[str, int], "a table"),
        (datetime.date, "a date"),
        (Path, "text: a path"),
        (Annotated[str, msgspec.Meta(pattern="^a+$")], "text that matches ^a+$"),
    ],
)
def test_expected_in_words(type_, words):
    assert expected(type_) == words


# --- lines


def test_lines_of_statements():
    text = (
        "# a comment\n"
        "top = 1\n"
        '["a b".c] # header\n'
        "x = [ # [nested]\n"
        "  '}',\n"
        "]\n"
        'y = """\n'
        "[no.header]\n"
        'z = "1" \\"""\n'
        '"""\n'
        "d.'e.f' = { g = 1 }\n"
        "[[list]]\n"
        "k = '''\n\n''''\n"
        "last = 1979-05-27"
    )
    tomllib.loads(text)
    assert [(each.path, each.line) for each in statements(text)] == [
        (("top",), 2),
        (("a b", "c"), 3),
        (("a b", "c", "x"), 4),
        (("a b", "c", "y"), 7),
        (("a b", "c", "d", "e.f"), 11),
        (("list",), 12),
        (("list", "k"), 13),
        (("list", "last"), 16),
    ]


# --- the file


def test_sample_sets_nothing(write):
    file = write(samplefile.render())
    assert load(file).settings == Settings()


def test_sample_shows_every_default(write):
    """What is commented out is what holds without it."""
    lines = samplefile.render().split("# Settings of a tool,")[0].splitlines()
    live = [line[2:] if " = " in line else line for line in lines[6:]]
    found = tomllib.loads("\n".join(live))
    assert found == {
        name: {key: list(v) if isinstance(v, tuple) else v for key, v in each.items()}
        for name, each in (
            (name, msgspec.structs.asdict(cls())) for name, cls in sections().items()
        )
    }
    assert load(write("\n".join(live))).settings == Settings()


def test_every_setting_has_a_meaning_and_words():
    for cls in sections().values():
        for field in msgspec.structs.fields(cls):
            assert expected(field.type), field.name


def test_merge_of_a_whole_file_changes_nothing():
    text = samplefile.render()
    merged = samplefile.merge(text, "x")
    assert (merged.text, merged.added, merged.left) == (text, [], [])


def test_the_checkout_is_a_home_that_is_up_to_date():
    """After a new setting: ``bin/tsctl init``."""
    file = Path(__file__).parent.parent / "config" / "toolserver.toml"
    merged = samplefile.merge(file.read_text(), str(file))
    assert (merged.added, merged.left) == ([], [])
    assert load(file).settings.tools.folders == ("examples",)


def test_merge_puts_settings_into_their_section():
    text = samplefile.render().replace("# port = 4334\n", "")
    text = text.replace("# backlog = 4096\n", "backlog = 3  # mine\n")
    merged = samplefile.merge(text, "x")
    assert merged.added == ["server.port"]
    server = merged.text.split("[limits]")[0]
    assert "# port = 4334\n" in server
    assert "backlog = 3  # mine\n" in server
    assert samplefile.merge(merged.text, "x").added == []


def test_merge_keeps_comments_with_the_section_below():
    text = "[xmlrpc]\n\n# about\n# tools\n[tool.a]\nb = 1\n"
    merged = samplefile.merge(text, "x").text
    assert merged.index("# nil_members") < merged.index("# about\n# tools\n[tool.a]")
    assert merged.index("[tool.a]\nb = 1\n") < merged.index("[server]")


def test_merge_does_not_slip_below_a_section_that_is_commented_out():
    text = samplefile.render().replace("# nil_members = false\n", "")
    merged = samplefile.merge(text, "x").text
    assert merged.index("# nil_members = ") < merged.index('# [tool."shop.orders"]')


def test_merge_leaves_sections_in_other_forms():
    text = "server.port = 1\nlimits = { body = 3 }\n[log]\nrpc = true"
    merged = samplefile.merge(text, "x")
    assert merged.left == ["[server]", "[limits]"]
    assert merged.text.startswith("server.port = 1\nlimits = { body = 3 }\n[log]\nrpc")
    assert "log.rpc" not in merged.added
    assert "log.level" in merged.added


def test_merge_has_nothing_to_say_of_a_section_that_is_whole():
    name, section = next(
        each for each in sections().items() if len(fields(each[1])) > 1
    )
    keys = [f"{name}.{field.name} = 1\n" for field in fields(section)]
    assert samplefile.merge("".join(keys), "x").left == []
    assert samplefile.merge("".join(keys[1:]), "x").left == [f"[{name}]"]


def test_merge_refuses_to_change_a_text_that_looks_like_a_header():
    text = '[server]\nx = """\n# [limits]\n"""\n'
    assert "cannot be added without changing what is there" in error_of(
        samplefile.merge, text, "x"
    )


def test_merge_ends_the_last_line():
    text = samplefile.render().replace("# port = 4334\n", "").rstrip("\n")
    merged = samplefile.merge(text, "x")
    assert merged.added == ["server.port"]
    assert merged.text.endswith("\n")


def test_merge_keeps_windows_line_ends():
    text = samplefile.render().replace("# port = 4334\n", "").replace("\n", "\r\n")
    merged = samplefile.merge(text, "x").text
    assert merged.count("\n") == merged.count("\r\n")


# --- anything


def toml(value):
    """A value as TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
        case list():
            return "[" + ",\n".join(map(toml, value)) + "]"
        case dict():
            return (
                "{"
                + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items())
                + "}"
            )
    return value.isoformat()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = (
    st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | texts
    | st.dates()
    | st.datetimes()
)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=5,
)
names = st.sampled_from(
    [(name, key) for name, cls in sections().items() for key in cls.__struct_fields__]
)


@given(names, values)
def test_any_value_is_taken_or_refused_with_its_line(tmp_path_factory, name, value):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(f"\n[{name[0]}]\n{name[1]} = {toml(value)}\n")
    refusal, configuration = attempt(load, file)
    if refusal:
        assert refusal.startswith(f"{file}:3: {name[0]}.{name[1]}: got ")
    else:
        assert configuration.origin(*name) == f"{file}:3"


@given(names, texts)
def test_any_variable_is_taken_or_refused(name, text):
    variable = f"TOOLSERVER_{name[0].upper()}__{name[1].upper()}"
    refusal, _ = attempt(load, environment={variable: text})
    if refusal:
        assert refusal.startswith(f"{variable}: {name[0]}.{name[1]}: got ")


pieces = st.sampled_from(
    [
        *("[server]", "[tool.a]", "port", "=", "1", '"', "'", '"""', "'''", "#", "["),
        *("]", "{", "}", "\n", "\\", ".", ",", " ", "\r", "\x00", "é", "[[a]]\n"),
        "port = 3\n",
    ]
)


@given(st.lists(pieces, max_size=30).map("".join))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "text.toml"
    file.write_bytes(text.encode())
    refusal, configuration = attempt(load, file)
    assert configuration or refusal.startswith(str(file))


documents = st.dictionaries(
    st.sampled_from([*sections(), "tool", "other"]),
    st.dictionaries(texts, values, max_size=3),
    max_size=4,
)


@given(documents, st.booleans())
def test_merge_never_changes_a_value(data, inline):
    if inline:
        text = "".join(
            f"{toml(name)} = {toml(table)}\n" for name, table in data.items()
        )
    else:
        text = "".join(
            f"# of {name}\n[{name}]\n"
            + "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())
            for name, table in data.items()
        )
    before = tomllib.loads(text)
    assume(repr(before).count("nan") == 0)
    merged = samplefile.merge(text, "x")
    after = tomllib.loads(merged.text)
    assert {name: table for name, table in after.items() if table or name in data} == (
        before
    )
    assert [line for line in text.splitlines() if line.startswith("# of")] == [
        line for line in merged.text.splitlines() if line.startswith("# of")
    ]
    assert samplefile.merge(merged.text, "x").text == merged.text


@given(documents)
def test_statements_finds_the_line_of_each_key(data):
    lines = []
    where = {}
    for name, table in data.items():
        lines.append(f"[{toml(name)}]")
        for key, value in table.items():
            where[name, key] = sum(line.count("\n") + 1 for line in lines) + 1
            lines.append(f"{toml(key)} = {toml(value)} # {key!r}")
    text = "\n".join(lines)
    tomllib.loads(text)
    found = {each.path: each.line for each in statements(text) if not each.is_header}
    assert found == where


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ()),
        ("a.example", ("a.example",)),
        ("a.example, b.example", ("a.example", "b.example")),
        ('["a.example", "b.example"]', ("a.example", "b.example")),
    ],
)
def test_a_list_is_given_between_commas_or_as_in_the_file(text, hosts):
    environment = {"TOOLSERVER_SERVER__HOSTS": text}
    assert load(environment=environment).settings.server.hosts == hosts


def test_a_list_that_is_not_closed_is_refused():
    with pytest.raises(SettingsError, match=r"TOOLSERVER_SERVER__HOSTS: .* no JSON"):
        load(environment={"TOOLSERVER_SERVER__HOSTS": '["a"'})
