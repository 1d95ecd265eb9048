"""``init`` and ``config``, and what goes wrong before anything runs."""

import json
import os
import subprocess
import sys

import pytest

from toolserver.cli.group import COMMANDS, tsctl

from .conftest import ask, run


def test_init_twice(tmp_path):
    first = run(tmp_path / "h", "init")
    assert first.code == 0
    assert f"wrote {tmp_path}/h/config/toolserver.toml" in first.out
    second = run(tmp_path / "h", "init")
    assert (second.code, second.out) == (0, f"{tmp_path}/h: nothing to do\n")


def test_init_merges_an_edited_file(tmp_path):
    ask(tmp_path, "init")
    file = tmp_path / "config" / "toolserver.toml"
    text = file.read_text().replace("# port = 4334", "port = 1234 # ours")
    text = text.replace("# backlog = 4096\n", "").replace("[xmlrpc]", "#[xmlrpc]")
    file.write_text(text)
    file.chmod(0o600)
    done = ask(tmp_path, "init")
    assert f"added server.backlog to {file}" in done.out
    assert f"added [xmlrpc] to {file}" in done.out
    assert "port = 1234 # ours" in file.read_text()
    assert "# backlog = 4096" in file.read_text().split("[limits]")[0]
    assert file.stat().st_mode & 0o777 == 0o600
    assert "nothing to do" in ask(tmp_path, "init").out
    assert ask(tmp_path, "config", "server.port").out == "1234\n"


def test_init_leaves_a_broken_file_alone(tmp_path):
    ask(tmp_path, "init")
    file = tmp_path / "config" / "toolserver.toml"
    file.write_text("[server\n")
    done = ask(tmp_path, "init")
    assert (done.code, file.read_text()) == (1, "[server\n")
    assert done.err.startswith(f"Error: {file}:1:8: not valid TOML: ")


def test_init_says_what_is_wrong_with_an_edited_file(tmp_path):
    ask(tmp_path, "init")
    file = tmp_path / "config" / "toolserver.toml"
    file.write_text('server = { prot = 1 }\n[log]\nformat = "json"\n')
    done = ask(tmp_path, "init")
    assert done.code == 0
    assert f"Note: {file}: [server] is not written as a section" in done.err
    assert f"Warning: {file}:1: unknown setting server.prot" in done.err
    assert f"added log.rpc to {file}" in done.out
    assert file.read_text().startswith("server = { prot = 1 }\n")


def test_the_sample_needs_no_home(tmp_path):
    sample = ask(tmp_path / "none", "config", "--sample")
    assert (sample.code, sample.err) == (0, "")
    ask(tmp_path, "init")
    assert sample.out == (tmp_path / "config" / "toolserver.toml").read_text()


def test_config_tells_values_and_origins(tmp_path):
    ask(tmp_path, "init")
    file = tmp_path / "config" / "toolserver.toml"
    file.write_text('[log]\nformat = "json"\n[tool."shop.orders"]\ncurrency = "€"\n')
    env = {"TOOLSERVER_SERVER__PORT": "81"}
    lines = run(tmp_path, "config", env=env).out.splitlines()
    words = [line.split() for line in lines]
    assert ["server.port", "=", "81", "#", "TOOLSERVER_SERVER__PORT"] in words
    assert ["log.format", "=", '"json"', "#", f"{file}:2"] in words
    assert ["log.rpc", "=", "false", "#", "default"] in words
    assert ['tool."shop.orders".currency', "=", '"€"', "#", f"{file}:4"] in words
    found = json.loads(run(tmp_path, "config", "--json", "log", env=env).out)
    assert found["log.format"] == {"value": "json", "origin": f"{file}:2"}
    rest = {"log.access", "log.error_format", "log.level", "log.rpc"}
    assert set(found) == {"log.format", *rest}


def test_config_of_an_unknown_setting(tmp_path):
    ask(tmp_path, "init")
    done = ask(tmp_path, "config", "server.prot")
    assert done.code == 2
    assert "no setting 'server.prot'" in done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1\n", "2: unknown setting server.prot, did you mean port?"),
        (
            '[server]\nport = "x"\n',
            "2: server.port: got 'x', expected an integer from 0 to 65535",
        ),
        ("[server]\nport 1\n", "2:6: not valid TOML: expected '=' after a key"),
    ],
)
def test_faulty_file(tmp_path, text, message):
    ask(tmp_path, "init")
    file = tmp_path / "config" / "toolserver.toml"
    file.write_text(text)
    done = ask(tmp_path, "config")
    assert done.code == 1
    assert done.err.startswith(f"Error: {file}:{message}")
    assert done.err.count("\n") == 1
    assert run(tmp_path, "start") == done


@pytest.mark.parametrize("words", [["config"], ["start"], ["start", "--foreground"]])
def test_missing_home(tmp_path, words):
    done = run(tmp_path / "none", *words)
    assert done.code == 1
    assert done.err == (
        f"Error: {tmp_path}/none: no home of a server; "
        f"run 'tsctl --home {tmp_path}/none init' to make it one\n"
    )


def test_home_from_the_environment_and_the_current_folder(tmp_path):
    env = {"TOOLSERVER_HOME": str(tmp_path / "a"), "HOME": str(tmp_path)}
    assert f"{tmp_path}/a: a new home" in run(None, "init", env=env).out
    file = tmp_path / "a" / "config" / "toolserver.toml"
    file.write_text("[server]\nport = 77\n")
    env = {"HOME": str(tmp_path)}
    here = run(None, "config", "server.port", cwd=tmp_path / "a", env=env)
    assert here.out == "77\n"
    assert run(None, "init", cwd=tmp_path, env=env).code == 0
    assert (tmp_path / ".toolserver" / "config" / "toolserver.toml").exists()


def test_init_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    done = run(tmp_path / "file", "init")
    assert done.code == 1
    assert done.err.startswith(f"Error: {tmp_path}/file: cannot be made: ")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["start", "--nonsense"],
        ["start", "--set", "port=1"],
        ["call"],
        ["new", "a b"],
        ["new", "../x"],
        ["new", "system.x"],
        ["call", "x", "--timeout", "-1"],
        ["call", "x", "--url", "nowhere"],
    ],
)
def test_wrong_usage(tmp_path, words):
    done = ask(tmp_path, *words)
    assert done.code == 2
    assert "Error: " in done.err


def test_commands_are_known_to_those_who_ask_click():
    with tsctl.make_context("tsctl", ["init"]) as context:
        known = tsctl.to_info_dict(context)["commands"]
    assert list(known) == list(COMMANDS)
    assert all(each["help"] for each in known.values())


def test_who_reads_may_have_enough(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "toolserver", "config", "--sample"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=100,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_help_lists_what_the_commands_say_of_themselves():
    text = run(None, "--help").out
    for name, (_, summary) in COMMANDS.items():
        command = tsctl.get_command(None, name)
        assert command.get_short_help_str(200).rstrip(".") == summary.rstrip(".")
        assert f"{name} " in text


def test_completion():
    env = {
        "_TSCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": "tsctl st",
        "COMP_CWORD": "1",
    }
    done = run(None, env=env)
    assert [line.split(",")[1] for line in done.out.split()] == [
        "start",
        "stop",
        "status",
        "stubs",
    ]
