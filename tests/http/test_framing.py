from __future__ import annotations

import contextlib
import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.http.framing import ChunkedDecoder, LengthDecoder
from toolserver.http.refused import Refused
from toolserver.settings import Limits

BODY = b'4\r\nWiki\r\nA;name=v;q="x y"\r\npedia in\r\n\r\n0\r\nExpires: now\r\n\r\n'


def splits(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def feed(decoder: ChunkedDecoder | LengthDecoder, pieces: list[bytes]) -> bytes:
    got = b""
    for number, piece in enumerate(pieces):
        got += decoder.feed(piece)
        if decoder.done:
            decoder.rest += b"".join(pieces[number + 1 :])
            break
    return got


@given(st.lists(st.integers(0, 1000), max_size=12))
def test_chunks_read_the_same_however_they_arrive(cuts):
    decoder = ChunkedDecoder(Limits())
    assert feed(decoder, splits(BODY + b"GET ", cuts)) == b"Wikipedia in\r\n"
    assert decoder.done
    assert decoder.rest == b"GET "


def test_chunks_byte_by_byte():
    decoder = ChunkedDecoder(Limits())
    got = feed(decoder, [BODY[i : i + 1] for i in range(len(BODY))])
    assert got == b"Wikipedia in\r\n"
    assert decoder.done


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=10),
    st.lists(st.integers(0, 1000), max_size=5),
)
def test_what_h11_sends_is_read(pieces, cuts):
    sender = h11.Connection(h11.CLIENT)
    sender.send(
        h11.Request(
            method="POST",
            target="/",
            headers=[("Host", "a"), ("Transfer-Encoding", "chunked")],
        )
    )
    wire = b"".join(sender.send(h11.Data(data=piece)) or b"" for piece in pieces)
    wire += sender.send(h11.EndOfMessage()) or b""
    decoder = ChunkedDecoder(Limits())
    assert feed(decoder, splits(wire, cuts)) == b"".join(pieces)
    assert decoder.done


@given(st.integers(0, 100), st.binary(max_size=150))
def test_a_body_of_known_length(length, data):
    decoder = LengthDecoder(length)
    assert decoder.feed(data) == data[:length]
    assert decoder.done == (len(data) >= length)
    assert decoder.rest == data[length:]


@pytest.mark.parametrize(
    "data",
    [
        b"g\r\n",
        b"0x5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-1\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5 ;a\r\nhello\r\n",
        b"\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5;a\0\r\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"ffffffffffffffffff\r\n",
        b"0000000000000000000000005\r\nhello\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nA: b\0\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(data):
    with pytest.raises(Refused) as caught:
        ChunkedDecoder(Limits()).feed(data)
    assert caught.value.status == 400
    # Nor does it help to send them byte by byte.
    decoder = ChunkedDecoder(Limits())
    with pytest.raises(Refused):
        feed(decoder, [data[i : i + 1] for i in range(len(data))])


def test_a_chunk_extension_at_its_limit_and_past_it():
    limits = Limits(chunk_extension=10)
    assert ChunkedDecoder(limits).feed(b"1;" + b"a" * 9 + b"\r\nx") == b"x"
    with pytest.raises(Refused, match="chunk extension"):
        ChunkedDecoder(limits).feed(b"1;" + b"a" * 10 + b"\r\nx")


@pytest.mark.parametrize(
    "extension",
    [b";", b";=a", b";a=", b";a=b=c", b';a="b', b';a="b"c', b";a b", b";\xe4"],
)
def test_a_chunk_extension_that_is_none_is_refused(extension):
    with pytest.raises(Refused, match="chunk size or extension: malformed"):
        ChunkedDecoder(Limits()).feed(b"1" + extension + b"\r\nx\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "extension",
    [b";a", b"; a", b";a ;b", b";a=b;c=d", b';a="b;c"', rb';a="\"b\\"', b"; a = b ; c"],
)
def test_what_chunk_extensions_say_is_left_out(extension):
    decoder = ChunkedDecoder(Limits())
    assert decoder.feed(b"1" + extension + b"\r\nx\r\n0\r\n\r\n") == b"x"
    assert decoder.done


def test_all_chunk_extensions_at_their_limit_and_past_it():
    decoder = ChunkedDecoder(Limits(chunk_extensions=30))
    for _ in range(3):
        assert decoder.feed(b"1;" + b"a" * 9 + b"\r\nx\r\n") == b"x"
    with pytest.raises(Refused, match="chunk extensions"):
        decoder.feed(b"1;a\r\nx\r\n")


def test_an_endless_chunk_extension_is_refused_before_it_ends():
    decoder = ChunkedDecoder(Limits(chunk_extension=256))
    decoder.feed(b"1;" + b"a" * 255)
    with pytest.raises(Refused):
        decoder.feed(b"a" * 16)


def test_trailers_at_their_limit_and_past_it():
    limits = Limits(trailers=20)
    decoder = ChunkedDecoder(limits)
    assert decoder.feed(b"0\r\nA: " + b"a" * 15 + b"\r\n\r\n") == b""
    assert decoder.done
    with pytest.raises(Refused) as caught:
        ChunkedDecoder(limits).feed(b"0\r\nA: " + b"a" * 16 + b"\r\n\r\n")
    assert caught.value.status == 431


def test_endless_trailers_are_refused_before_they_end():
    decoder = ChunkedDecoder(Limits(trailers=8192))
    decoder.feed(b"0\r\nA: " + b"a" * 8189)
    with pytest.raises(Refused) as caught:
        decoder.feed(b"a" * 2)
    assert caught.value.status == 431


@given(st.binary(max_size=100))
def test_any_bytes_give_a_body_or_a_refusal(data):
    # Anything else that is raised fails the test.
    with contextlib.suppress(Refused):
        ChunkedDecoder(Limits()).feed(data)


def test_very_small_chunks_are_bounded():
    decoder = ChunkedDecoder(Limits(small_chunks=3))
    large = b"40\r\n" + b"x" * 64 + b"\r\n"
    assert decoder.feed((large + b"1\r\ny\r\n") * 3) == (b"x" * 64 + b"y") * 3
    with pytest.raises(Refused) as caught:
        decoder.feed(b"3f\r\n")
    assert caught.value.status == 400
