"""``new``: what it writes works."""

import os
import subprocess
import sys

from tests.tracing import UNMEASURED

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


def test_its_test_passes_with_nothing_but_pytest(tmp_path):
    ask(tmp_path, "init")
    ask(tmp_path, "new", "shop.articles")
    for where, arguments in ((tmp_path, []), (tmp_path / "tests", ["-W", "error"])):
        tested = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *arguments,
            ],
            cwd=where,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert "4 passed" in tested.stdout, tested.stdout + tested.stderr


def test_a_test_in_an_unpatched_process_says_so(tmp_path):
    ask(tmp_path, "init")
    ask(tmp_path, "new", "a")
    (tmp_path / "pytest.ini").unlink()
    (tmp_path / "tests" / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path / 'tools')!r})\n"
    )
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert tested.returncode == 1
    assert "StartError: the process is not patched for gevent" in tested.stdout
    assert "-p toolserver.pytest_plugin" in tested.stdout


def test_new_takes_no_namespace_that_is_taken(tmp_path):
    ask(tmp_path, "init")
    (tmp_path / "tools" / "mine.py").write_text(
        "import toolserver\n\n\n"
        '@toolserver.register("shop.orders")\n'
        "class Orders(toolserver.StandardTool): ...\n"
    )
    done = ask(tmp_path, "new", "shop.orders")
    assert done.code == 1
    assert done.err == (
        f"Error: 'shop.orders' is taken by a tool in {tmp_path}/tools/mine.py\n"
    )
    assert not (tmp_path / "tools" / "shop_orders.py").exists()


def test_new_leaves_tests_alone_that_are_set_up_already(tmp_path):
    ask(tmp_path, "init")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text("mine = 1\n")
    (tmp_path / "tox.ini").write_text("[pytest]\n")
    # A file that is no Python yet is in nobody's way.
    (tmp_path / "tools" / "draft.py").write_text("def (")
    (tmp_path / "tools" / "more.py").write_text("x = 1\nregister(x)\nf()\n")
    done = ask(tmp_path, "new", "a")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "tests" / "conftest.py").read_text() == "mine = 1\n"
    assert not (tmp_path / "pytest.ini").exists()
    assert (tmp_path / "tests" / "test_a.py").exists()


def test_new_says_what_a_namespace_looks_like(tmp_path):
    done = ask(tmp_path, "new", "shop.9x")
    assert done.code == 2
    assert "each beginning with a letter" in done.err


def test_new_leaves_no_half_written_file(tmp_path):
    ask(tmp_path, "init")
    done = subprocess.run(
        [
            *(*UNMEASURED, "bash", "-c", 'ulimit -f 0; exec "$@"', "bash"),
            *(sys.executable, "-m", "toolserver", "--home", tmp_path, "new", "a"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr == f"Error: {tmp_path}/tools/a.py: File too large\n"
    assert not (tmp_path / "tools" / "a.py").exists()


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
