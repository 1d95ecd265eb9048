"""Preconditions and ranges: the rules of RFC 9110, and fields from hostile clients."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug import http as oracle
from werkzeug.datastructures import Headers as OracleHeaders

from toolserver.message import Headers
from toolserver.web.conditional import (
    check_preconditions,
    encoded_etag,
    format_date,
    make_etag,
    matching_etag,
    parse_date,
    parse_range,
    requested_ranges,
)

NOW = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"

field_text = st.text(st.characters(max_codepoint=0xFF), max_size=60)
range_text = st.text('bytes=0123456789-, *"', max_size=30)
etags = st.builds(
    lambda weak, tag: f'{weak}"{tag}"',
    st.sampled_from(["", "W/"]),
    st.text("abc,-*", min_size=1, max_size=3),
)


class TestDates:
    @pytest.mark.parametrize(
        "text",
        [
            DATE,
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " sun, 06 nov 1994 08:49:37 gmt ",
            f"{DATE}; length=123",
        ],
    )
    def test_reads_the_three_forms(self, text):
        assert parse_date(text) == NOW

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0",
            "tomorrow",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        ],
    )
    def test_anything_else_is_no_date(self, text):
        assert parse_date(text) is None

    def test_leap_second_counts_as_the_one_before(self):
        leap = parse_date("Sat, 31 Dec 2016 23:59:60 GMT")
        assert leap == parse_date("Sat, 31 Dec 2016 23:59:59 GMT")

    def test_two_digit_years_are_at_most_fifty_years_ahead(self):
        this_year = time.gmtime().tm_year
        for ahead in (0, 49, 50, 51, 99):
            year = (this_year + ahead) % 100
            read = parse_date(f"Sunday, 06-Nov-{year:02} 08:49:37 GMT")
            expected = this_year + ahead - (100 if ahead > 50 else 0)
            assert time.gmtime(read).tm_year == expected

    @given(st.integers(-62135596800, 253402300799))
    def test_written_dates_are_read_back(self, moment):
        if moment >= 0:
            assert parse_date(format_date(moment)) == moment
        text = time.strftime("%a, %d %b ", time.gmtime(moment))
        text += f"{time.gmtime(moment).tm_year:04}"
        text += time.strftime(" %H:%M:%S GMT", time.gmtime(moment))
        assert parse_date(text) == moment

    @given(field_text)
    def test_no_text_raises(self, text):
        assert parse_date(text) is None or isinstance(parse_date(text), int)


class TestEtags:
    def test_equal_bytes_have_equal_tags(self):
        assert make_etag(b"one") == make_etag(b"one") != make_etag(b"two")
        assert make_etag(b"")[0] == make_etag(b"")[-1] == '"'

    @pytest.mark.parametrize(
        ("field", "etag", "weak", "strong"),
        [
            ('"a"', '"a"', True, True),
            ('W/"a"', 'W/"a"', True, False),
            ('W/"a"', '"a"', True, False),
            ('"a"', 'W/"a"', True, False),
            ('"b"', '"a"', False, False),
            ('"b", "a"', '"a"', True, True),
            ('"x,y"', '"x,y"', True, True),
            ("a", '"a"', False, False),
            ('"A"', '"a"', False, False),
            ('"a', '"a"', False, False),
            ("", '"a"', False, False),
            ("*", '"a"', True, True),
            ('"a"', "", False, False),
        ],
    )
    def test_comparison(self, field, etag, weak, strong):
        assert bool(matching_etag(field, etag, weak=True)) is weak
        assert bool(matching_etag(field, etag, weak=False)) is strong

    def test_tag_of_an_encoded_body_stands_for_its_resource(self):
        encoded = encoded_etag('"a"', "gzip")
        assert encoded == '"a--gzip"'
        assert matching_etag(encoded, '"a"', weak=False) == encoded
        assert matching_etag(f"W/{encoded}", '"a"', weak=True) == f"W/{encoded}"
        assert matching_etag('"a--other"', '"a"', weak=True) == ""

    def test_only_a_tag_can_be_encoded(self):
        assert encoded_etag("", "gzip") == ""
        assert encoded_etag('W/"a"', "br") == 'W/"a--br"'

    @given(st.lists(etags, max_size=4), etags, st.booleans())
    def test_lists_compare_as_werkzeug_does(self, sent, etag, weak):
        field = ", ".join(sent)
        parsed = oracle.parse_etags(field)
        tag = etag.removeprefix("W/").strip('"')
        if weak:
            expected = parsed.contains_weak(tag)
        else:
            expected = not etag.startswith("W/") and parsed.contains(tag)
        assert bool(matching_etag(field, etag, weak=weak)) is expected


class TestPreconditions:
    @pytest.mark.parametrize(
        ("method", "fields", "expected"),
        [
            ("GET", {}, None),
            ("GET", {"if-match": '"a"'}, None),
            ("GET", {"if-match": '"b"'}, 412),
            ("PUT", {"if-match": '"b"'}, 412),
            ("PUT", {"if-match": "*"}, None),
            ("PUT", {"if-match": 'W/"a"'}, 412),
            ("PUT", {"if-match": "garbage"}, 412),
            ("GET", {"if-unmodified-since": DATE}, None),
            ("PUT", {"if-unmodified-since": BEFORE}, 412),
            ("PUT", {"if-unmodified-since": "garbage"}, None),
            ("PUT", {"if-match": '"a"', "if-unmodified-since": BEFORE}, None),
            ("GET", {"if-none-match": '"a"'}, 304),
            ("HEAD", {"if-none-match": 'W/"a"'}, 304),
            ("GET", {"if-none-match": "*"}, 304),
            ("PUT", {"if-none-match": "*"}, 412),
            ("DELETE", {"if-none-match": '"a"'}, 412),
            ("GET", {"if-none-match": '"b"'}, None),
            ("GET", {"if-modified-since": DATE}, 304),
            ("GET", {"if-modified-since": BEFORE}, None),
            ("POST", {"if-modified-since": DATE}, None),
            ("GET", {"if-modified-since": "garbage"}, None),
            ("GET", {"if-none-match": '"b"', "if-modified-since": DATE}, None),
            ("GET", {"if-none-match": '"a"', "if-modified-since": BEFORE}, 304),
            ("GET", {"if-match": '"b"', "if-none-match": '"a"'}, 412),
        ],
    )
    def test_precedence(self, method, fields, expected):
        headers = Headers(fields.items())
        found = check_preconditions(method, headers, etag='"a"', modified=NOW + 0.7)
        assert found == expected

    def test_what_does_not_exist_matches_nothing(self):
        def check(**fields):
            headers = {key.replace("_", "-"): value for key, value in fields.items()}
            return check_preconditions("PUT", headers, exists=False)

        assert check(if_match="*") == 412
        assert check(if_none_match="*") is None
        assert check(if_none_match='"a"') is None

    def test_star_matches_what_exists_without_a_tag(self):
        assert check_preconditions("PUT", {"if-match": "*"}) is None
        assert check_preconditions("GET", {"if-none-match": "*"}) == 304

    def test_dates_are_ignored_without_a_time_of_change(self):
        headers = {"if-modified-since": DATE, "if-unmodified-since": BEFORE}
        assert check_preconditions("GET", headers, etag='"a"') is None

    @given(
        st.dictionaries(
            st.sampled_from(
                [
                    "if-match",
                    "if-none-match",
                    "if-modified-since",
                    "if-unmodified-since",
                    "if-range",
                    "range",
                ]
            ),
            field_text | range_text | etags | st.just(DATE),
        ),
        st.sampled_from(["GET", "HEAD", "PUT"]),
    )
    def test_no_fields_raise(self, fields, method):
        found = check_preconditions(method, fields, etag='"a"', modified=NOW)
        assert found in (None, 304, 412)
        spans = requested_ranges(method, fields, 10, etag='"a"', modified=NOW)
        assert spans is None or all(0 <= s.start < s.stop <= 10 for s in spans)


class TestRanges:
    @pytest.mark.parametrize(
        ("field", "expected"),
        [
            ("bytes=0-0", [range(0, 1)]),
            ("bytes=0-9", [range(10)]),
            ("bytes=0-10", [range(10)]),
            ("bytes=9-", [range(9, 10)]),
            ("bytes=10-", []),
            ("bytes=-3", [range(7, 10)]),
            ("bytes=-30", [range(10)]),
            ("bytes=-0", []),
            ("bytes=0-0,-1", [range(1), range(9, 10)]),
            ("bytes= 7-8 ,, 1-2", [range(7, 9), range(1, 3)]),
            ("bytes=1-2, 20-30", [range(1, 3)]),
            ("BYTES=1-2", [range(1, 3)]),
            (f"bytes=0-{'9' * 20}", [range(10)]),
            ("bytes=0-4,5-9", [range(5), range(5, 10)]),
            ("bytes=0-5,5-9", None),
            ("bytes=0-,0-", None),
            ("bytes=2-1", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("bytes", None),
            ("", None),
            ("items=0-1", None),
            ("bytes=a-b", None),
            ("bytes=1", None),
            ("bytes=--1", None),
            ("bytes=+1-2", None),
            ("bytes=٣-٤", None),
            (f"bytes={'9' * 5000}-", None),
            ("bytes=" + ",".join(f"{n}-{n}" for n in range(8)), "eight"),
            ("bytes=" + ",".join(f"{n}-{n}" for n in range(9)), None),
        ],
    )
    def test_reads(self, field, expected):
        if expected == "eight":
            expected = [range(n, n + 1) for n in range(8)]
        assert parse_range(field, 10) == expected

    @given(
        st.integers(0, 30) | st.none(),
        st.integers(0, 30) | st.none(),
        st.integers(1, 20),
    )
    def test_reads_as_werkzeug_does(self, first, last, size):
        text = "-".join("" if n is None else str(n) for n in (first, last))
        parsed = oracle.parse_range_header(f"bytes={text}")
        found = parse_range(f"bytes={text}", size)
        if first is None and last is not None and last > size:
            # RFC 9110, section 14.1.2: then the whole; Werkzeug refuses it.
            assert found == [range(size)]
        elif parsed is None:
            assert not found
        else:
            expected = parsed.range_for_length(size)
            assert found == ([] if expected is None else [range(*expected)])

    @given(range_text)
    def test_never_raises_and_never_overlaps(self, text):
        spans = parse_range(text, 10)
        taken = [byte for span in spans or () for byte in span]
        assert len(taken) == len(set(taken)) <= 10
        assert all(0 <= byte < 10 for byte in taken)

    @pytest.mark.parametrize(
        ("condition", "holds"),
        [
            ('"a"', True),
            ('"b"', False),
            ('W/"a"', False),
            (DATE, True),
            (BEFORE, False),
            ("garbage", False),
            ("", False),
        ],
    )
    def test_if_range(self, condition, holds):
        headers = {"range": "bytes=0-1", "if-range": condition}
        spans = requested_ranges("GET", headers, 10, etag='"a"', modified=NOW + 0.7)
        assert spans == ([range(2)] if holds else None)

    def test_if_range_never_holds_for_a_weak_tag(self):
        headers = {"range": "bytes=0-1", "if-range": 'W/"a"'}
        assert requested_ranges("GET", headers, 10, etag='W/"a"') is None

    def test_only_get_has_ranges(self):
        assert requested_ranges("HEAD", {"range": "bytes=0-1"}, 10) is None

    def test_nothing_is_sent_whole(self):
        assert requested_ranges("GET", {"range": "bytes=0-1"}, 0) is None


def test_werkzeug_agrees_on_dates():
    headers = OracleHeaders({"Date": DATE})
    assert oracle.parse_date(headers["Date"]).timestamp() == NOW == parse_date(DATE)
