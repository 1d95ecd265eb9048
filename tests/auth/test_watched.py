"""Files that are read again when they have changed."""

import os

import pytest

from toolserver.auth.watched import WatchedFile
from toolserver.errors import StartError


def numbers(text):
    found = []
    for count, line in enumerate(text.splitlines(), 1):
        try:
            found.append(int(line))
        except ValueError:
            raise ValueError(f"{count}: got {line!r}, expected a number") from None
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "numbers"


@pytest.fixture
def watched(path):
    return WatchedFile(path, numbers)


def write(path, data):
    """Write a file whose time tells it from the one before, however quick we are."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(data)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_a_missing_file_is_an_empty_one(watched, path):
    watched.load()
    assert watched.value == []
    write(path, b"1\n2\n")
    assert watched.refresh()
    assert watched.value == [1, 2]
    assert not watched.refresh()
    path.unlink()
    assert watched.refresh()
    assert watched.value == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"1\nx\n", ":2: got 'x', expected a number"),
        (b"1\n\xff\n", ":2: not UTF-8"),
        (b"1\n" * (8 * 1024 * 1024 + 1), ": larger than 16777216 bytes"),
    ],
)
def test_what_cannot_be_read_changes_nothing_and_is_told_once(
    watched, path, caplog, data, problem
):
    write(path, b"1\n")
    watched.load()
    write(path, data)
    assert not watched.refresh()
    assert not watched.refresh()
    assert watched.value == [1]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{path}{problem}; what was there before still holds"
    )
    with pytest.raises(StartError) as caught:
        watched.load()
    assert str(caught.value) == f"{path}{problem}"


def test_a_path_that_leads_nowhere_is_looked_at_again(watched, path, caplog):
    write(path, b"1\n")
    watched.load()
    path.unlink()
    path.symlink_to(path)
    assert not watched.refresh()
    assert watched.value == [1]
    assert "Too many levels of symbolic links" in caplog.text
    path.unlink()
    path.write_bytes(b"2\n")
    assert watched.refresh()
    assert watched.value == [2]
