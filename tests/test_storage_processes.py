"""The files of a tool, used by several processes at once."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from toolserver import pytest_plugin
from toolserver.errors import Conflict
from toolserver.home import Home
from toolserver.storage import Storage

__all__ = ["pytest_plugin"]

_ROUNDS = 200
_SIZE = 20_000


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    made.create()
    return made


def run(home, action):
    """Let three processes do the same at the same time; gives what each has said."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", __name__, str(home.path), action, name],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=Path(__file__).parents[1],
                )
            )
            for name in "abc"
        ]
        for process in running:
            assert process.stdout.readline() == "ready\n"
        for process in running:
            process.stdin.close()
        said = [process.stdout.read().split() for process in running]
        assert [process.wait(30) for process in running] == [0] * 3
    return said


def create(store, name):
    """Tell which of many files this process was the one to create."""
    for number in range(_ROUNDS):
        try:
            store.create(f"files/{number}", name * _SIZE, durable=False)
        except Conflict:
            continue
        print(number)


def write(store, name):
    """Replace one file, and see nothing but whole ones; their folder comes and goes."""
    for _ in range(_ROUNDS):
        store.write("shared/folder/file", name * _SIZE, durable=False)
        try:
            content = store.read("shared/folder/file")
        except FileNotFoundError:
            continue
        assert len(content) == _SIZE
        assert len(set(content)) == 1
        try:
            store.delete("shared/folder/file")
        except FileNotFoundError:
            continue


def test_of_several_processes_one_creates_each_file(home):
    said = run(home, "create")
    numbers = [int(number) for each in said for number in each]
    assert sorted(numbers) == list(range(_ROUNDS))
    store = Storage(home, "shop.files")
    for name, created in zip("abc", said, strict=True):
        for number in created:
            assert store.read_text(f"files/{number}") == name * _SIZE


def test_processes_that_write_and_delete_see_whole_files(home):
    run(home, "write")
    # Nothing is left behind of what was written at the same time.
    left = [path.name for path in home.var.rglob("*") if path.name.endswith(".new")]
    assert left == []


if __name__ == "__main__":
    opened = Storage(Home(Path(sys.argv[1])), "shop.files")
    print("ready", flush=True)
    sys.stdin.read()
    {"create": create, "write": write}[sys.argv[2]](opened, sys.argv[3])
