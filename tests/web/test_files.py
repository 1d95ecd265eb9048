"""No path leads out of the folder: a real tree with links, pipes and hidden files."""

import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolserver.web.files import list_folder, open_file, path_names

INSIDE = b"public"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("tree")
    (base / "secret.txt").write_bytes(b"secret")
    (base / "outside").mkdir()
    (base / "outside" / "a.txt").write_bytes(b"secret")
    # A sibling whose name begins like the root's.
    (base / "www2").mkdir()
    (base / "www2" / "a.txt").write_bytes(b"secret")
    www = base / "www"
    for folder in ("", "sub", "sub/deep", ".hidden", ".well-known", "sub/.well-known"):
        (www / folder).mkdir(exist_ok=True)
        (www / folder / "a.txt").write_bytes(INSIDE)
    for hidden in (
        www / ".hidden" / "a.txt",
        www / "sub" / ".well-known" / "a.txt",
        www / ".env",
        www / "sub" / ".htpasswd",
        www / ".well-known" / ".env",
    ):
        hidden.write_bytes(b"secret")
    (www / "a b%20ü.txt").write_bytes(INSIDE)
    (www / "back\\slash.txt").write_bytes(b"secret")
    os.mkfifo(www / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(www / "socket"))
    listener.close()
    (www / "link.txt").symlink_to("sub/deep/a.txt")
    (www / "absolute.txt").symlink_to(www / "a.txt")
    (www / "folder").symlink_to("sub", target_is_directory=True)
    (www / "root").symlink_to(".", target_is_directory=True)
    (www / "chain").symlink_to("folder/deep")
    (www / "out.txt").symlink_to("../secret.txt")
    (www / "out").symlink_to("../outside", target_is_directory=True)
    (www / "near").symlink_to("../www2", target_is_directory=True)
    (www / "up").symlink_to("..", target_is_directory=True)
    (www / "etc").symlink_to("/etc", target_is_directory=True)
    (www / "seen.txt").symlink_to(".env")
    (www / "seen").symlink_to(".hidden", target_is_directory=True)
    (www / "piped").symlink_to("pipe")
    (www / "null").symlink_to("/dev/null")
    (www / "broken").symlink_to("nowhere")
    (www / "loop").symlink_to("loop")
    return www


def read(root, path: str) -> bytes:
    names = path_names(path)
    if names is None:
        raise FileNotFoundError(path)
    opened = open_file(str(root), names)
    with open(opened, "rb") as file:
        assert stat.S_ISREG(os.fstat(opened).st_mode)
        return file.read()


@pytest.mark.parametrize(
    "path",
    [
        "/a.txt",
        "/sub/a.txt",
        "/sub/deep/a.txt",
        "/.well-known/a.txt",
        "/a b%20ü.txt",
        "/link.txt",
        "/absolute.txt",
        "/folder/a.txt",
        "/folder/deep/a.txt",
        "/root/a.txt",
        "/root/root/sub/a.txt",
        "/chain/a.txt",
    ],
)
def test_opens(tree, path):
    assert read(tree, path) == INSIDE


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "",
        "a.txt",
        "//a.txt",
        "/sub//a.txt",
        "/a.txt/",
        "/a.txt/b",
        "/./a.txt",
        "/sub/../a.txt",
        "/../secret.txt",
        "/..",
        "/sub/../../secret.txt",
        "/..\\secret.txt",
        "/\\..\\secret.txt",
        "/back\\slash.txt",
        "/a.txt\0",
        "/a.txt\0.png",
        "/\0",
        "/a\n.txt",
        "/.env",
        "/sub/.htpasswd",
        "/.hidden/a.txt",
        "/sub/.well-known/a.txt",
        "/.well-known/.env",
        "/pipe",
        "/socket",
        "/out.txt",
        "/out/a.txt",
        "/near/a.txt",
        "/up/secret.txt",
        "/etc/passwd",
        "/root/out.txt",
        "/seen.txt",
        "/seen/a.txt",
        "/root/.env",
        "/piped",
        "/null",
        "/broken",
        "/loop",
        "/loop/a.txt",
        "/" + "x" * 300,
        "/" + "x/" * 3000,
        "/\ud800",
        "/a.txt\u202e",
        "/%2e%2e/secret.txt",
    ],
)
def test_is_not_there(tree, path):
    with pytest.raises(FileNotFoundError):
        read(tree, path)


@pytest.mark.parametrize("path", ["/sub", "/folder", "/root", "/chain", "/.well-known"])
def test_folders_are_told_apart(tree, path):
    with pytest.raises(IsADirectoryError):
        read(tree, path)


def test_the_root_may_be_a_link_and_may_be_missing(tree, tmp_path):
    (tmp_path / "www").symlink_to(tree)
    assert read(tmp_path / "www", "/a.txt") == INSIDE
    assert read(tmp_path / "www", "/link.txt") == INSIDE
    assert read(tmp_path / "www", "/absolute.txt") == INSIDE
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none", "/a.txt")


def test_nothing_stays_open(tree):
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/a.txt", "/sub/deep/a.txt", "/out.txt", "/pipe", "/sub", "/nothing"):
        try:
            read(tree, path)
        except OSError:
            continue
    list_folder(str(tree), ["sub"], 10)
    assert len(os.listdir("/proc/self/fd")) == before


# Names of the tree, and what attackers put between them.
_NAMES = """a.txt link.txt folder sub deep root chain up out near out.txt etc passwd .
.. ... .env .hidden .well-known .htpasswd seen seen.txt pipe piped null broken loop
secret.txt www www2 %2e%2e ..%2f C: ~"""
_ODD = ["", " ", "\\", "\\..", "..\\", "\0", "\n", "\ud800", "\udcff"]
elements = st.sampled_from([*_NAMES.split(), *_ODD]) | st.text(max_size=3)


@given(st.lists(elements, max_size=6), st.sampled_from(["/", "//", "", "/../", "\\"]))
@example(["up", "www", "a.txt"], "/")
def test_any_path_gives_a_public_file_or_none(tree, names, start):
    path = start + "/".join(names)
    try:
        content = read(tree, path)
    except (FileNotFoundError, IsADirectoryError):
        return
    assert content == INSIDE


@given(st.text(max_size=30))
def test_names_rebuild_the_path(path):
    names = path_names(path)
    if names is not None:
        assert "/" + "/".join(names) == path
        assert ".." not in names


class TestListing:
    def test_shows_what_can_be_asked_for(self, tree):
        files, has_more = list_folder(str(tree), [], 1000)
        assert not has_more
        found = {file.name: file.is_folder for file in files}
        assert found == {
            "a.txt": False,
            "a b%20ü.txt": False,
            "link.txt": False,
            "absolute.txt": False,
            "sub": True,
            "folder": True,
            "root": True,
            "chain": True,
        }
        for name, is_folder in found.items():
            if not is_folder:
                assert read(tree, f"/{name}") == INSIDE

    @pytest.mark.parametrize("names", [["folder"], ["root", "sub"]])
    def test_follows_links_within(self, tree, names):
        files, _ = list_folder(str(tree), names, 1000)
        assert {file.name for file in files} == {"a.txt", "deep"}

    @pytest.mark.parametrize("names", [["out"], ["up"], ["seen"], ["a.txt"], ["none"]])
    def test_not_elsewhere(self, tree, names):
        with pytest.raises(FileNotFoundError):
            list_folder(str(tree), names, 1000)

    def test_is_bounded(self, tmp_path):
        for number in range(5):
            (tmp_path / f"{number}").touch()
        files, has_more = list_folder(str(tmp_path), [], 3)
        assert len(files) == 3
        assert has_more
        files, has_more = list_folder(str(tmp_path), [], 5)
        assert len(files) == 5
        assert not has_more
