"""Accept, Accept-Encoding, compression: the rules, and fields from hostile clients."""

import gzip
import importlib
import sys
import time
import zlib

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from toolserver.message import Response
from toolserver.web import negotiation
from toolserver.web.conditional import make_etag, matching_etag
from toolserver.web.negotiation import (
    CODINGS,
    add_vary,
    choose_encoding,
    choose_media_type,
    compress,
    compress_response,
    is_compressible,
)

JSON, XML, HTML = "application/json", "application/xml", "text/html"
BODY = b"all work and no play makes a dull body " * 100

field_text = st.text(st.characters(max_codepoint=0xFF), max_size=80)
weights = st.sampled_from(["", ";q=0", ";q=0.1", "; q=0.55", ";Q=1.000", ";q=1"])


class TestMediaTypes:
    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            (None, JSON),
            ("", JSON),
            ("*/*", JSON),
            (XML, XML),
            ("application/*", JSON),
            ("text/*, application/json;q=0.5", HTML),
            ("application/json;q=0.5, application/xml", XML),
            ("application/json;q=0, */*", XML),
            ("*/*;q=0.1, text/html;q=0.2", HTML),
            ("TEXT/HTML", HTML),
            ("application/*;q=0.9, application/json;q=0.1", XML),
            ("image/png", None),
            ("*/*;q=0", None),
            ("application/json;q=0", None),
            ("garbage", JSON),
            ("garbage, text/html", HTML),
            ("text/html;q=nonsense, application/xml;q=0.1", XML),
            ("text/html;q=7", JSON),
            ("*/json", JSON),
            ("text/html;level=1", None),
            (f"{HTML};q=0.7;ext=1, {XML};q=0.6", HTML),
            (",,,text/html,,", HTML),
            ('text/html;title="a,b;q=0", application/xml;q=0.5', XML),
        ],
    )
    def test_choice(self, accept, expected):
        assert choose_media_type(accept, [JSON, XML, HTML]) == expected

    def test_parameters_make_a_range_more_precise(self):
        plain, flowed = "text/plain", 'text/plain; format="flowed"'
        accept = "text/plain;q=0.2, text/plain;format=flowed;q=0.9, text/*;q=0.5"
        assert choose_media_type(accept, [plain, flowed]) == flowed
        assert choose_media_type("text/plain;q=0.2, text/*;q=0.5", [plain]) == plain

    def test_nothing_offered_is_nothing_chosen(self):
        assert choose_media_type(None, []) is None
        assert choose_media_type("*/*", []) is None

    def test_what_is_no_media_type_is_never_chosen(self):
        assert choose_media_type("*/*", ["nonsense", JSON]) == JSON

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([JSON, XML, HTML, "*/*", "text/*", "application/*"]),
                weights,
            ),
            min_size=1,
            max_size=4,
            unique_by=lambda wish: wish[0],
        )
    )
    def test_chooses_a_type_of_the_weight_that_werkzeug_finds_best(self, wishes):
        accept = ", ".join(kind + weight for kind, weight in wishes)
        offered = [JSON, XML, HTML]
        parsed = parse_accept_header(accept.replace("Q=", "q="), MIMEAccept)
        best = max(parsed.quality(offer) for offer in offered)
        chosen = choose_media_type(accept, offered)
        assert (parsed.quality(chosen) if chosen else 0) == best

    @given(field_text)
    def test_no_field_raises(self, text):
        assert choose_media_type(text, [JSON, XML]) in (JSON, XML, None)
        assert choose_encoding(text, ["br", "gzip"]) in ("br", "gzip", "identity")


class TestEncodings:
    @pytest.mark.parametrize(
        ("field", "expected"),
        [
            (None, "identity"),
            ("", "identity"),
            ("identity", "identity"),
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("gzip, br", "br"),
            ("gzip, deflate, br, zstd", "br"),
            ("gzip;q=1.0, br;q=0.5", "gzip"),
            ("gzip;q=0", "identity"),
            ("gzip;q=0.001", "gzip"),
            ("*", "br"),
            ("br;q=0, *", "gzip"),
            ("br;q=0, *;q=0.1", "gzip"),
            ("*;q=0", "identity"),
            ("identity;q=0, gzip", "gzip"),
            ("identity;q=0, *;q=0", "identity"),
            ("identity;q=1, gzip;q=0.5", "identity"),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("identity, *;q=0.5", "identity"),
            ("compress", "identity"),
            ("gzip;q=wrong", "identity"),
            ("gzip;level=9", "gzip"),
            (";;;,=,gzip", "gzip"),
            ("g zip", "identity"),
        ],
    )
    def test_choice(self, field, expected):
        assert choose_encoding(field, ["br", "gzip"]) == expected

    def test_nothing_offered_is_plain(self):
        assert choose_encoding("gzip", []) == "identity"


@pytest.mark.parametrize(
    "text",
    ['"' + '\\"' * 20000, '"' * 20001, "," * 40000, "a/b;" * 10000, "a/b," * 10000],
)
def test_hostile_fields_take_linear_time(text):
    begin = time.process_time()
    choose_media_type(text, [JSON])
    choose_encoding(text, ["gzip"])
    assert time.process_time() - begin < 5


class TestCompression:
    @pytest.mark.parametrize("size", [0, 1, 1000, 100_000])
    def test_bodies_come_back(self, size):
        body = (BODY * (size // len(BODY) + 1))[:size]
        assert gzip.decompress(compress(body, "gzip")) == body
        assert zlib.decompress(compress(body, "deflate")) == body

    def test_brotli_comes_back(self):
        brotli = pytest.importorskip("brotli")
        assert brotli.decompress(compress(BODY, "br")) == BODY

    def test_zstd_comes_back(self):
        try:
            zstd = importlib.import_module("compression.zstd")
        except ImportError:
            zstd = pytest.importorskip("backports.zstd")
        assert zstd.decompress(compress(BODY, "zstd")) == BODY

    def test_equal_bodies_give_equal_bytes(self):
        assert len({compress(BODY, "gzip") for _ in range(2)}) == 1

    def test_codings_without_a_library_are_not_offered(self, monkeypatch):
        for name in ("brotli", "compression.zstd", "backports.zstd"):
            monkeypatch.setitem(sys.modules, name, None)
        assert list(negotiation._compressors()) == ["gzip", "deflate"]

    def test_unknown_codings_are_refused(self):
        with pytest.raises(LookupError, match="lzw"):
            compress(BODY, "lzw")

    def test_large_bodies_leave_the_loop_running(self):
        # Incompressible, so that it takes its time.
        body = b"".join(make_etag(b"%d" % n).encode() for n in range(100_000))
        ticks = []

        def tick():
            while True:
                ticks.append(None)
                gevent.sleep(0.001)

        ticker = gevent.spawn(tick)
        compress(body, "gzip")
        ticker.kill()
        assert len(ticks) > 5

    @pytest.mark.parametrize(
        ("content_type", "expected"),
        [
            ("text/html; charset=utf-8", True),
            ("Application/JSON", True),
            ("application/problem+json", True),
            ("image/svg+xml", True),
            ("text/event-stream", False),
            ("image/png", False),
            ("application/zip", False),
            ("application/octet-stream", False),
            ("", False),
        ],
    )
    def test_compressible_types(self, content_type, expected):
        assert is_compressible(content_type) is expected


class TestResponses:
    def make(self, body=BODY, **options):
        options.setdefault("content_type", "text/plain; charset=utf-8")
        return Response(body, **options)

    def test_compresses_for_who_accepts_it(self):
        plain = self.make(headers={"ETag": '"a"', "X-Other": "kept"})
        before = list(plain.headers)
        packed = compress_response(plain, "gzip")
        fields = dict(packed.headers)
        assert gzip.decompress(packed.body) == BODY
        assert fields["Content-Encoding"] == "gzip"
        assert fields["Vary"] == "Accept-Encoding"
        assert fields["X-Other"] == "kept"
        assert fields["Content-Type"] == "text/plain; charset=utf-8"
        assert fields["ETag"] != '"a"'
        assert matching_etag(fields["ETag"], '"a"', weak=False) == fields["ETag"]
        assert plain.body == BODY
        assert plain.headers == before

    @pytest.mark.parametrize("field", [None, "", "identity", "gzip;q=0, deflate;q=0"])
    def test_says_that_it_depends_where_it_stays_plain(self, field):
        answer = compress_response(self.make(headers={"ETag": '"a"'}), field)
        fields = dict(answer.headers)
        assert answer.body == BODY
        assert "Content-Encoding" not in fields
        assert fields["ETag"] == '"a"'
        assert fields["Vary"] == "Accept-Encoding"

    def test_keeps_the_status_and_drops_the_old_length(self):
        answer = self.make(status=404, headers={"Content-Length": str(len(BODY))})
        packed = compress_response(answer, "gzip")
        assert packed.status == 404
        assert "Content-Length" not in dict(packed.headers)

    @pytest.mark.parametrize(
        "untouched",
        [
            {"body": b"x" * 511},
            {"content_type": "image/png"},
            {"content_type": ""},
            {"status": 206},
            {"status": 304},
            {"headers": {"content-encoding": "br"}},
            {"headers": {"Content-Range": "bytes 0-1/2"}},
            {"headers": {"Cache-Control": "max-age=1, No-Transform"}},
            {"body": [BODY]},
        ],
        ids=str,
    )
    def test_leaves_alone(self, untouched):
        answer = self.make(**untouched)
        assert compress_response(answer, "gzip, br") is answer

    def test_compresses_from_512_bytes_on(self):
        answer = compress_response(self.make(b"x" * 512), "gzip")
        assert dict(answer.headers)["Content-Encoding"] == "gzip"

    def test_sends_plain_what_would_grow(self):
        body = b"".join(make_etag(b"%d" % n)[1:-1].encode() for n in range(30))
        body = bytes.fromhex(body.decode()) * 2
        noise = bytes(b ^ (n * 7 + n // 256) & 0xFF for n, b in enumerate(body))
        answer = compress_response(self.make(noise), "gzip")
        assert answer.body == noise
        assert "Content-Encoding" not in dict(answer.headers)
        assert dict(answer.headers)["Vary"] == "Accept-Encoding"

    @pytest.mark.parametrize("coding", CODINGS)
    def test_every_coding_can_be_asked_for(self, coding):
        fields = dict(compress_response(self.make(), coding).headers)
        assert fields["Content-Encoding"] == coding


class TestVary:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ([], "Accept"),
            ([("Vary", "Origin")], "Origin, Accept"),
            ([("vary", "accept")], "accept"),
            ([("Vary", "Origin"), ("Vary", "Cookie")], "Origin, Cookie, Accept"),
            ([("Vary", "*")], "*"),
            ([("Vary", "")], "Accept"),
        ],
    )
    def test_names_the_field_once(self, before, after):
        headers = add_vary([("X-Other", "1"), *before], "Accept")
        assert headers == [("X-Other", "1"), ("Vary", after)]
