import errno
import io
import os
import tempfile

import hypothesis.strategies as st
import pytest
import requests
from hypothesis import given

from toolserver.errors import InvalidRequest, Overload
from toolserver.forms import read_multipart
from toolserver.message import Headers, Request
from toolserver.settings import Limits

TYPE = "multipart/form-data; boundary=xyz"


class Pieces(io.BytesIO):
    """A body that arrives in pieces, whatever is asked for."""

    def __init__(self, body, size):
        super().__init__(body)
        self.size = size

    def read(self, size=-1):
        return super().read(self.size)


def body_of(*parts):
    """Parts, given as the text of their header fields and their content."""
    body = b"".join(
        b"--xyz\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    return body + b"--xyz--\r\n"


def field(name, content=b"", more=""):
    return f'Content-Disposition: form-data; name="{name}"{more}', content


def file(name, content=b"", filename="f.txt"):
    return field(name, content, f'; filename="{filename}"')


def read(body, limits=Limits(), content_type=TYPE):  # noqa: B008  # it is frozen
    return read_multipart(io.BytesIO(body), content_type, limits)


def sent_by_requests(files, data=None):
    sent = requests.Request("POST", "http://x/", files=files, data=data).prepare()
    return sent.body, sent.headers["Content-Type"]


@given(
    st.lists(st.tuples(st.text("ab\u00fc&;", min_size=1), st.text()), max_size=4),
    st.lists(
        st.tuples(
            st.text("ab\u00fc", min_size=1),
            st.binary(),
            st.text("x.\u00e4", min_size=1),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 200),
    st.sampled_from([0, 10, 65536]),
)
def test_what_a_client_sends_arrives(fields, files, piece, memory):
    body, content_type = sent_by_requests(
        [(name, (filename, content)) for name, content, filename in files], fields
    )
    got_fields, got_files = read_multipart(
        Pieces(body, piece), content_type, Limits(upload_memory=memory)
    )
    assert got_fields == fields
    for name in {name for name, _, _ in files}:
        wanted = [(f, c) for n, c, f in files if n == name]
        got = got_files.get_all(name)
        assert [(one.filename, one.read()) for one in got] == wanted
        assert [one.size for one in got] == [len(content) for _, content in wanted]
        assert got_files[name] is got[0]
    got_files.close()


def test_a_file_tells_its_type():
    body = body_of(
        file("a", b"1"),
        (
            'Content-Disposition: form-data; name="b"; filename="b.png"\r\n'
            "Content-Type: image/png",
            b"2",
        ),
    )
    _, files = read(body)
    assert list(files) == ["a", "b"]
    assert len(files) == 2
    assert files["a"].content_type == "application/octet-stream"
    assert files["b"].content_type == "image/png"
    assert files.get_all("c") == []
    assert "c" not in files


def test_large_files_go_to_disk():
    body = body_of(file("small", b"x" * 100), file("large", b"x" * 101))
    _, files = read(body, Limits(upload_memory=100))
    assert isinstance(files["small"].file, io.BytesIO)
    assert not isinstance(files["large"].file, io.BytesIO)
    assert files["large"].read() == files["large"].read() == b"x" * 101
    files.close()
    assert files["large"].file.closed


def test_files_on_disk_share_one_that_is_open():
    before = len(os.listdir("/dev/fd"))
    contents = [bytes([number]) * (100 + number) for number in range(20)]
    body = body_of(*(file(f"f{n}", content) for n, content in enumerate(contents)))
    _, files = read(body, Limits(upload_memory=110))
    assert len(os.listdir("/dev/fd")) == before + 1
    for number, content in enumerate(contents):
        got = files[f"f{number}"]
        assert got.read() == content
        got.file.seek(-3, os.SEEK_END)
        assert (got.file.read(2), got.file.tell()) == (content[:2], got.size - 1)
        got.file.seek(1)
        assert got.file.read(5) == content[:5]
        with pytest.raises(ValueError, match="seek"):
            got.file.seek(-1)
    del got
    kept = files["f19"]
    files.close()
    with pytest.raises(ValueError, match="closed"):
        kept.file.read()
    assert len(os.listdir("/dev/fd")) == before


def test_no_room_on_disk_is_told_without_a_path(monkeypatch, caplog):
    def full(*args, **options):
        raise OSError(errno.EMFILE, "Too many open files", "/secret/path")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    body = body_of(file("large", b"x" * 101))
    with pytest.raises(Overload) as caught:
        read(body, Limits(upload_memory=100))
    assert "secret" not in str(caught.value)
    assert "Too many open files" in caplog.text


def test_a_file_field_left_empty_is_not_there():
    fields, files = read(body_of(file("a", b"", ""), file("b", b"", "empty.txt")))
    assert fields == []
    assert list(files) == ["b"]


@pytest.mark.parametrize("size", [1, 10, 100, 1000])
def test_what_surrounds_the_parts_is_ignored(size):
    body = b"before\r\n" + body_of(field("a", b"x")) + b"after\r\n--xyz--"
    fields, _ = read_multipart(Pieces(body, size), TYPE, Limits())
    assert fields == [("a", "x")]


def test_an_empty_form():
    fields, files = read(b"--xyz--\r\n")
    assert (fields, dict(files)) == ([], {})


def test_the_number_of_parts_is_bounded():
    limits = Limits(form_fields=3)
    assert len(read(body_of(*[field("a")] * 3), limits)[0]) == 3
    with pytest.raises(InvalidRequest, match="form: "):
        read(body_of(*[field("a")] * 4), limits)


def test_the_size_of_plain_fields_is_bounded():
    half = b"x" * (512 * 1024)
    assert len(read(body_of(field("a", half), field("b", half)))[0]) == 2
    with pytest.raises(InvalidRequest, match="more than 1048576 bytes"):
        read(body_of(field("a", half), field("b", half + b"x")))


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [
        ("", "\u00fc".encode(), "\u00fc"),
        ("UTF-8", "\u00fc".encode(), "\u00fc"),
        ("iso-8859-1", b"\xfc", "\u00fc"),
    ],
)
def test_encodings_of_fields(charset, content, text):
    head, _ = field("a")
    if charset:
        head = f"{head}\r\nContent-Type: text/plain; charset={charset}"
    assert read(body_of((head, content)))[0] == [("a", text)]


@pytest.mark.parametrize("charset", ["punycode", "utf-7", "hex", "nonsense"])
def test_other_encodings_are_refused(charset):
    head, _ = field("a")
    head = f"{head}\r\nContent-Type: text/plain; charset={charset}"
    with pytest.raises(InvalidRequest, match=f"got the encoding '{charset}'"):
        read(body_of((head, b"x")))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"--xyz",
        b"--xyz\r\n",
        b"--xyz\n\nx",
        b"--abc--\r\n",
        body_of(field("a", b"x"))[:-6],
        body_of(field("a", b"x"))[:-12],
        body_of(("Content-Type: text/plain", b"x")),
        body_of(("Content-Disposition: form-data", b"x")),
        body_of(('Content-Disposition: attachment; name="a"', b"x")),
        body_of(("no colon", b"x")),
        body_of(("X: " + "y" * 10_000, b"x")),
        body_of(("\r\n".join(f"X{n}: y" for n in range(50)), b"x")),
        body_of(field("a", b"\xff")),
    ],
)
def test_what_is_no_form_is_refused(body):
    with pytest.raises(InvalidRequest, match="form: "):
        read(body)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=\u20ac",
        f"multipart/form-data; boundary={'x' * 5000}",
    ],
)
def test_a_boundary_is_needed(content_type):
    with pytest.raises(InvalidRequest, match="form: "):
        read(body_of(field("a")), content_type=content_type)


def test_errors_of_the_body_itself_pass_through():
    class Stalled(io.BytesIO):
        def read(self, size=-1):
            if data := super().read(size):
                return data
            raise Overload("body: nothing arrived")

    body = Stalled(body_of(file("a", b"x" * 100))[:-20])
    with pytest.raises(Overload):
        read_multipart(body, TYPE, Limits(upload_memory=10))


@given(st.binary())
def test_any_bytes_are_read_or_refused(body):
    with pytest.raises(InvalidRequest):
        read(body)


@given(st.data())
def test_damaged_forms_are_read_or_refused(data):
    body = bytearray(body_of(field("a", b"x"), file("b", b"y" * 30)))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        fields, files = read(bytes(body), Limits(upload_memory=10))
    except InvalidRequest:
        return
    assert len(fields) + len(files) <= 2
    files.close()


class TestRequests:
    def request(self, body, content_type):
        headers = Headers([("Content-Type", content_type)])
        return Request(method="POST", headers=headers, content=body)

    def test_multipart(self):
        body, content_type = sent_by_requests(
            [("doc", ("a.txt", b"1")), ("doc", ("b.txt", b"2"))], {"who": "Ann"}
        )
        request = self.request(body, content_type)
        assert dict(request.form) == {"who": "Ann"}
        assert [one.read() for one in request.files.get_all("doc")] == [b"1", b"2"]

    @pytest.mark.parametrize(
        "body", ["who=Zo%C3%AB&x=", "who=Zo\u00eb&x=", "who=Zo%C3%AB&x"]
    )
    def test_urlencoded(self, body):
        request = self.request(body.encode(), "application/x-www-form-urlencoded")
        assert dict(request.form) == {"who": "Zo\u00eb", "x": ""}
        assert dict(request.files) == {}
