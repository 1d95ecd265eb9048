"""The files of tools."""

import errno
import os
import resource
import stat
import threading

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolserver.testing
from toolserver import (
    FactoryTool,
    StandardTool,
    TransientFactoryTool,
    TransientTool,
    register,
)
from toolserver.errors import Conflict, InvalidParams, NotFound
from toolserver.filetree import FileTree
from toolserver.home import Home
from toolserver.storage import Storage


@register("store")
class Store(StandardTool):
    def save(self, name: str, text: str) -> bool:
        return self.storage.write(name, text)

    def load(self, name: str) -> str:
        return self.storage.read_text(name)

    def send(self, name: str) -> object:
        return self.storage.open(name)

    def publish(self, name: str, text: str) -> str:
        self.storage.public.write(name, text)
        return self.storage.public.url(name)

    def page(self) -> str:
        return "the method"


@register("store.inner")
class Inner(StandardTool):
    pass


class Leaf(TransientTool):
    def publish(self, name: str, text: str) -> str:
        self.storage.public.write(name, text)
        return self.storage.public.url(name)

    def load(self) -> str:
        return self.storage.read_text("own")


class Branch(TransientFactoryTool):
    key_pattern = ".+"

    def child_exists(self, key):
        return True

    def on_start(self):
        self.storage.write("own", f"of {self.key}")


Branch.children = (Branch, Leaf)


@register("tree")
class Tree(FactoryTool):
    key_pattern = ".+"
    children = (Branch, Leaf)

    def child_exists(self, key):
        return True


@register("")
class Root(StandardTool):
    pass


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    made.create()
    return made


@pytest.fixture
def storage(home):
    return Storage(home, "shop")


@pytest.fixture(params=["private", "public"])
def files(request, storage):
    return storage if request.param == "private" else storage.public


def test_a_file_is_written_read_and_deleted(files):
    assert files.write("notes/a.txt", "schön") is True
    assert files.read("notes/a.txt") == "schön".encode()
    assert files.read_text("notes/a.txt") == "schön"
    assert files.exists("notes/a.txt")
    assert files.stat("notes/a.txt").size == 6
    files.delete("notes/a.txt")
    assert not files.exists("notes/a.txt")


def test_the_same_content_is_not_written_again(files):
    assert files.write("a", b"1") is True
    before = os.stat(os.path.join(files._tree.root, "a"))
    assert files.write("a", "1") is False
    after = os.stat(os.path.join(files._tree.root, "a"))
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert files.write("a", b"2") is True
    assert files.write("a", b"2", durable=False) is False
    assert files.read("a") == b"2"


def test_a_missing_file_is_not_found(files):
    for act in (files.read, files.read_text, files.open, files.stat, files.delete):
        for name in ("missing", "no/folder"):
            with pytest.raises(FileNotFoundError, match=f"no file '{name}'") as caught:
                act(name)
            assert isinstance(caught.value, NotFound)
    assert files.exists("missing") is False
    assert files.list() == files.list("folder") == []


def test_create_refuses_what_exists(files):
    files.create("a", "1")
    with pytest.raises(FileExistsError) as caught:
        files.create("a", "2")
    assert isinstance(caught.value, Conflict)
    assert files.read("a") == b"1"
    assert files.list() == ["a"]
    assert os.listdir(files._tree.root) == ["a"]


def test_one_of_many_creates_succeeds(files):
    def attempt(number):
        try:
            files.create("slot/one", str(number))
        except FileExistsError:
            return None
        return number

    jobs = [gevent.spawn(attempt, number) for number in range(20)]
    gevent.joinall(jobs, raise_error=True)
    winners = [job.value for job in jobs if job.value is not None]
    assert len(winners) == 1
    assert files.read_text("slot/one") == str(winners[0])


def test_files_are_listed_by_name(files):
    for name in ("b.txt", "a.html", "in/c.txt", "in/deep/d.txt"):
        files.write(name, "x", durable=False)
    assert files.list() == ["a.html", "b.txt", "in/c.txt", "in/deep/d.txt"]
    assert files.list(recursive=False) == ["a.html", "b.txt"]
    assert files.list("in") == ["in/c.txt", "in/deep/d.txt"]
    assert files.list("in", recursive=False) == ["in/c.txt"]
    assert files.list(pattern="*.txt") == ["b.txt", "in/c.txt", "in/deep/d.txt"]


def test_empty_folders_go_with_their_last_file(files):
    files.write("a/b/c", "1")
    files.write("a/d", "1")
    files.delete("a/b/c")
    files.write("a/b", "now a file")
    files.delete("a/b")
    files.delete("a/d")
    files.write("a", "now a file")


def test_files_and_folders_are_in_each_others_way(files):
    files.write("folder/file", "1")
    with pytest.raises(FileExistsError):
        files.write("folder", "2")
    with pytest.raises(FileExistsError):
        files.create("folder", "2")
    with pytest.raises(FileExistsError):
        files.write("folder/file/below", "2")
    with pytest.raises(FileNotFoundError):
        files.read("folder")
    with pytest.raises(FileNotFoundError):
        files.delete("folder")
    with pytest.raises(FileNotFoundError):
        files.read("folder/file/below")
    assert files.list() == ["folder/file"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../other",
        "a/../../b",
        "a/./b",
        "a//b",
        "a/",
        ".hidden",
        "a/.hidden",
        "~key",
        "a/~key",
        "nul\0",
        "line\n",
        "back\\slash",
        "\ud800",
        "a" * 256,
        "ä" * 128,
        "/".join("a" * 33),
        "a/" * 600 + "a",
    ],
)
def test_names_that_could_mean_something_else_are_refused(files, name):
    acts = [files.read, files.read_text, files.open, files.stat, files.delete]
    acts += [files.exists, lambda name: files.write(name, "x")]
    acts += [lambda name: files.create(name, "x")]
    if name:
        acts.append(files.list)
    for act in acts:
        with pytest.raises(ValueError, match="name of a file") as caught:
            act(name)
        assert isinstance(caught.value, InvalidParams)
        assert len(str(caught.value)) < 300
    with pytest.raises(TypeError):
        files.read(b"bytes")


@given(st.text(max_size=40))
def test_any_text_is_refused_or_stays_inside(tmp_path_factory, name):
    home = Home(tmp_path_factory.getbasetemp() / "any")
    files = Storage(home, "shop")
    try:
        files.write(name, name, durable=False)
    except (InvalidParams, Conflict):
        return
    assert name in files.list()
    assert files.read_text(name) == name
    files.delete(name)
    assert [path for path in home.path.rglob("*") if path.is_file()] == []


def test_the_longest_names_can_be_used(files):
    deep = "/".join("a" * 32)
    for name in ("a" * 255, deep, "ä" * 127):
        files.write(name, "x")
        assert files.read(name) == b"x"
        files.delete(name)


def test_links_are_not_followed(files, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    files.write("real", "x")
    root = files._tree.root
    os.symlink(outside, os.path.join(root, "folder"))
    os.symlink(outside / "secret", os.path.join(root, "file"))
    os.symlink("real", os.path.join(root, "inner"))
    os.mkfifo(os.path.join(root, "pipe"))
    for name in ("folder/secret", "file", "inner", "pipe", "folder"):
        with pytest.raises(FileNotFoundError):
            files.read(name)
        with pytest.raises(FileNotFoundError):
            files.open(name)
        with pytest.raises(FileNotFoundError):
            files.delete(name)
    assert files.list() == ["real"]
    with pytest.raises(FileExistsError):
        files.write("folder/new", "x")
    assert os.listdir(outside) == ["secret"]
    # A link in the place of the file is replaced, not written through.
    files.write("file", "own")
    assert (outside / "secret").read_text() == "secret"


def test_the_root_may_be_a_link(files, tmp_path):
    elsewhere = tmp_path / "large disk"
    elsewhere.mkdir()
    os.makedirs(os.path.dirname(files._tree.root), exist_ok=True)
    os.symlink(elsewhere, files._tree.root)
    files.write("a", "x")
    assert (elsewhere / "a").read_text() == "x"


def test_readers_see_old_or_new_content(files):
    contents = [bytes([letter]) * 600_000 for letter in b"abc"]
    files.write("f", contents[0])
    stopping = False
    seen = set()

    def read():
        while not stopping:
            content = files.read("f")
            assert content in contents
            seen.add(content[0])

    reader = gevent.spawn(read)
    for turn in range(12):
        files.write("f", contents[turn % 3], durable=False)
    stopping = True
    reader.get()
    assert len(seen) > 1


def test_writes_and_deletes_at_once_do_not_break(files):
    def turn(number):
        for _ in range(15):
            files.write(f"a/b/{number}", "x", durable=False)
            gevent.sleep(0)
            files.delete(f"a/b/{number}")

    gevent.joinall([gevent.spawn(turn, n) for n in range(4)], raise_error=True)
    assert files.list() == []


def test_what_fails_leaves_the_old_content(files, monkeypatch):
    files.write("f", "old")

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/the/servers/path")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left.*'f'") as caught:
            files.write("f", "new")
        assert caught.value.errno == errno.ENOSPC
        assert "/the/servers/path" not in str(caught.value)
    assert files.read("f") == b"old"
    assert os.listdir(files._tree.root) == ["f"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_disk_without_room_leaves_the_old_content(files, durable):
    files.write("f", "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large: 'f'"):
            files.write("f", "new" * 1000, durable=durable)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files.read("f") == b"old"
    assert os.listdir(files._tree.root) == ["f"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(files):
    files.write("f", "old")
    os.chmod(files._tree.root, 0o500)
    try:
        with pytest.raises(PermissionError, match="'f'"):
            files.write("f", "new")
        assert files.read("f") == b"old"
    finally:
        os.chmod(files._tree.root, 0o700)


def test_files_that_are_being_written_are_in_no_list(files):
    files.write("f", "x")
    with open(os.path.join(files._tree.root, ".0123456789abcdef.new"), "w") as file:
        file.write("left by a crash")
    assert files.list() == ["f"]


def test_private_files_are_for_their_owner(storage):
    storage.write("a/f", "x")
    storage.public.write("a/f", "x")
    for files, folder, file in (
        (storage, 0o700, 0o600),
        (storage.public, 0o755, 0o644),
    ):
        for path, mode in (("", folder), ("a", folder), ("a/f", file)):
            status = os.stat(os.path.join(files._tree.root, path))
            assert stat.S_IMODE(status.st_mode) & 0o777 == mode


def test_folders_of_factories_are_for_their_owner(storage):
    below = storage.of_key("key")
    below.write("f", "x")
    for root in (below._tree.root, storage._tree.root):
        assert stat.S_IMODE(os.stat(root).st_mode) == 0o700


def test_content_has_to_be_text_or_bytes(files):
    files.write("f", bytearray(b"x"))
    assert files.read("f") == b"x"
    for content in (5, None, ["a"]):
        with pytest.raises(TypeError):
            files.write("g", content)
    assert files.list() == ["f"]


def test_slow_disks_do_not_hold_the_loop(files, monkeypatch):
    """What may wait for the disk is done by another thread."""
    threads = set()
    real = os.fsync

    def fsync(descriptor):
        threads.add(threading.get_native_id())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write("f", "x")
    assert threads
    assert threading.get_native_id() not in threads


def test_a_time_out_is_raised_when_the_file_is_whole(files):
    with pytest.raises(gevent.Timeout), gevent.Timeout(0):
        files.write("f", "x" * 10_000_000)
    assert len(files.read("f")) == 10_000_000


def test_stores_of_tools_lie_apart(home):
    with toolserver.testing.serve(Store, Inner, Root, home=home.path) as server:
        for namespace in ("store", "store.inner", ""):
            server.tool(namespace).storage.write("inner/f", namespace)
        for namespace in ("store", "store.inner", ""):
            files = server.tool(namespace).storage
            assert files.list() == ["inner/f"]
            assert files.read_text("inner/f") == namespace
    assert (home.var / "tools" / "store.inner" / "inner" / "f").is_file()


def test_files_outlive_the_server(home):
    for expected in (True, False):
        with toolserver.testing.serve(Store, home=home.path) as server:
            assert server.call("store.save", "f", "x") is expected
            assert server.call("store.load", "f") == "x"


def test_callers_learn_what_is_wrong_with_names():
    with toolserver.testing.serve(Store) as server:
        get = server.http.get
        assert get("/store/load", params={"name": "../x"}).status_code == 400
        assert get("/store/load", params={"name": "x"}).status_code == 404
        server.call("store.save", "data", "x" * 100_000)
        assert get("/store/send", params={"name": "data"}).text == "x" * 100_000


def test_public_files_are_served():
    with toolserver.testing.serve(Store, Inner) as server:
        url = server.call("store.publish", "a b/ü.txt", "hello")
        assert url == "/store/a%20b/%C3%BC.txt"
        assert server.http.get(url).text == "hello"
        server.call("store.publish", "a b/ü.txt", "changed")
        assert server.http.get(url).text == "changed"
        files = server.tool("store.inner").storage.public
        files.write("x.txt", "inner")
        assert server.http.get("/store/inner/x.txt").text == "inner"
        assert files.url("x.txt") == "/store/inner/x.txt"


def test_methods_go_before_public_files():
    with toolserver.testing.serve(Store) as server:
        server.call("store.publish", "page", "the file")
        assert server.http.get("/store/page").text == "the method"


def test_unfinished_public_files_are_not_served():
    with toolserver.testing.serve(Store) as server:
        server.call("store.publish", "f", "x")
        root = server.tool("store").storage.public._tree.root
        with open(os.path.join(root, ".0123456789abcdef.new"), "w") as file:
            file.write("half")
        assert server.http.get("/store/.0123456789abcdef.new").status_code == 404


KEYS = ["a", "ü", "~x", "-", "\x01", "a b", "a" * 300, "..".replace(".", "%2e")]


def test_stores_of_transients_lie_apart_below_their_factory(home):
    with toolserver.testing.serve(Tree, home=home.path) as server:
        tree = server.tool("tree")
        tree.storage.write("own", "of the factory")
        stores = {key: server.tool(f"tree.{key}").storage for key in KEYS}
        for key, store in stores.items():
            assert store.read_text("own") == f"of {key}"
            assert store.list() == ["own"]
            inner = server.tool(f"tree.{key}.{key}").storage
            assert inner._tree.root.startswith(store._tree.root + "/")
        assert len({store._tree.root for store in stores.values()}) == len(KEYS)
        assert tree.storage.list() == ["own"]
        for store in stores.values():
            folder, name = os.path.split(store._tree.root)
            assert folder == tree.storage._tree.root
            assert len(name) == 65
            assert set(name[1:]) <= set("0123456789abcdef")


def test_public_files_of_transients_are_served():
    with toolserver.testing.serve(Tree) as server:
        files = server.tool("tree.first").storage.public
        files.write("f.txt", "x")
        assert server.http.get(files.url("f.txt")).text == "x"


def test_a_tool_without_a_server_has_no_files():
    with pytest.raises(RuntimeError, match="belongs to no server"):
        _ = Store().storage


def test_storage_is_final():
    with pytest.raises(TypeError, match="belongs to the framework"):

        class Bad(StandardTool):
            def storage(self) -> None: ...


def test_a_folder_that_goes_each_time_ends_the_attempts(tmp_path, monkeypatch):
    tree = FileTree(str(tmp_path), is_private=True)
    # Somebody else is always quicker and removes the folder again.
    monkeypatch.setattr(os, "mkdir", lambda *args, **options: None)
    with pytest.raises(FileNotFoundError):
        tree.write(["folder", "file"], b"content", durable=False, replaces=True)
    assert not list(tmp_path.iterdir())
