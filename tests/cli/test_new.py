"""``new``: what it writes works."""

import os
import subprocess
import sys

from .conftest import ask, run


def test_new_tool_runs_and_passes_its_test(home):
    done = ask(home, "new", "shop.articles")
    assert done.code == 0, done.err
    assert f"wrote {home}/tools/shop_articles.py" in done.out
    tested = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "toolserver.pytest_plugin"),
            *("-p", "no:cacheprovider", "tests"),
        ],
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "4 passed" in tested.stdout
    (home / "tools" / "orders.py").unlink()
    run(home, "start", "--port", "0")
    assert ask(home, "call", "shop.articles.greet", "Ann").out == "Hello Ann!\n"


def test_new_never_overwrites(tmp_path):
    ask(tmp_path, "init")
    assert ask(tmp_path, "new", "a").code == 0
    (tmp_path / "tools" / "a.py").write_text("mine")
    os.unlink(tmp_path / "tests" / "test_a.py")
    done = ask(tmp_path, "new", "a")
    assert done.code == 1
    assert done.err == f"Error: {tmp_path}/tools/a.py: exists, and is not overwritten\n"
    assert (tmp_path / "tools" / "a.py").read_text() == "mine"
    assert not (tmp_path / "tests" / "test_a.py").exists()


def test_new_hides_no_module(tmp_path):
    ask(tmp_path, "init")
    assert ask(tmp_path, "new", "json").code == 0
    assert (tmp_path / "tools" / "json_tool.py").exists()
