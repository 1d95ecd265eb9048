"""Signatures without a server: structured fields, digests, the RFC's own examples."""

from __future__ import annotations

import base64
import hashlib
import time

import http_sf
import hypothesis.strategies as st
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given

from toolserver.auth.algorithms import algorithm_of, sign, verify
from toolserver.auth.digests import DigestCheck, content_digest
from toolserver.auth.keys import generate, read_public
from toolserver.auth.profile import authority, signature_base
from toolserver.auth.signing import SignatureError, sign_request, verify_answer
from toolserver.auth.structured import InnerList, Item, Token, parse_dictionary

# RFC 9421, appendix B.1.
RSA_PSS = read_public(
    b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----
"""
)
ED25519 = read_public(
    b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
"""
)
SHARED = base64.b64decode(
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjl"
    "TMtDQ=="
)
# RFC 9421, appendix B.2.
DIGEST = (
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVL"
    "vRwEmTHWXvJwew==:"
)
REQUEST = {
    "@method": "POST",
    "@authority": "example.com",
    "@path": "/foo",
    "@query": "?param=Value&Pet=dog",
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "content-type": "application/json",
    "content-digest": DIGEST,
    "content-length": "18",
}
BODY = b'{"hello": "world"}'
VECTORS = {
    "B.2.1": (
        RSA_PSS,
        '();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
        "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it+"
        "+wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2"
        "cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvt"
        "l6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bL"
        "hdxO5Nyt8C8ssinQ98Xw9Q==",
    ),
    "B.2.3": (
        RSA_PSS,
        '("date" "@method" "@path" "@query" "@authority" '
        '"content-type" "content-digest" "content-length");created=1618884473;'
        'keyid="test-key-rsa-pss"',
        "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeG"
        "t683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/y"
        "PViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldml"
        "u9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAF"
        "L2FUo5fTIztsDZKEgM4cUA==",
    ),
    "B.2.5": (
        SHARED,
        '("date" "@authority" "content-type");created=1618884473;'
        'keyid="test-shared-secret"',
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    ),
    "B.2.6": (
        ED25519,
        '("date" "@method" "@path" "@authority" "content-type" "content-length");'
        'created=1618884473;keyid="test-key-ed25519"',
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WP"
        "pBKRCw==",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_examples_of_rfc_9421(name):
    key, params, signature = VECTORS[name]
    covered = parse_dictionary(f"sig={params}")["sig"]
    assert str(covered) == params
    base = signature_base(covered, lambda item: REQUEST[item.value])
    octets = base64.b64decode(signature)
    assert verify(key, base, octets)
    assert not verify(key, base + b" ", octets)
    assert not verify(key, base, octets[:-1] + bytes([octets[-1] ^ 1]))
    assert not verify(key, base, b"")


def test_the_digest_of_the_examples():
    check = DigestCheck(DIGEST)
    check.update(BODY[:7])
    check.update(BODY[7:])
    assert check.holds


def written(members):
    """A dictionary as text; truth is told by the key alone."""
    return ", ".join(
        f"{key}{str(member).removeprefix('?1')}"
        if isinstance(member, Item) and member.value is True
        else f"{key}={member}"
        for key, member in members.items()
    )


class TestStructuredFields:
    @pytest.mark.parametrize(
        "text",
        [
            'a=("@method" "x";req;key="sig1" tok :AQI=: ?0 -12);created=1;b="q\\"\\\\"',
            "a=1, b=tok/en:x;p=?0, c=:AA==:",
            "*a.b-c_1=()",
            "a;x",
        ],
    )
    def test_what_is_canonical_stays_as_it_is(self, text):
        assert written(parse_dictionary(text)) == text

    def test_what_is_not_canonical_becomes_so(self):
        found = parse_dictionary('  a=( "x"   "y" ); b=1 ,\tc=007  ')
        assert {key: str(value) for key, value in found.items()} == {
            "a": '("x" "y");b=1',
            "c": "7",
        }

    def test_kinds_of_values(self):
        found = parse_dictionary('a=tok, b="tok", c=:dG9r:, d=?1, e=5')
        values = [member.value for member in found.values()]
        assert values == ["tok", "tok", b"tok", True, 5]
        assert list(map(type, values)) == [Token, str, bytes, bool, int]

    @pytest.mark.parametrize(
        "text",
        [
            *("a=1, a=2", "a=(1);b=1;b=2", 'a=("x";b;b)'),
            *("a=", "a=(", "a=(1", "a=(1 2", 'a=(1"x")', 'a="x', 'a="\\x"', 'a="é"'),
            *("a=1,", ",a=1", "a=1 b=2", "A=1", "a=1;", "a=1;B=2", "a=?2", "=1"),
            *(
                "a=1.5",
                "a=1234567890123456",
                "a=@1",
                "a=:A:",
                "a=:é:",
                "a=:AA",
                'a=%"x"',
            ),
            *("a=1\n", 'a="x\n"', "a=((1))", "a=é", "a = 1", "a=-"),
        ],
    )
    def test_what_is_malformed_is_refused(self, text):
        with pytest.raises(ValueError, match=r"malformed|twice"):
            parse_dictionary(text)

    def test_an_empty_dictionary(self):
        assert parse_dictionary("") == {}

    def test_reading_takes_time_in_proportion(self):
        for text in (
            "a=(" + " " * 200_000,
            "a=1" + "\t" * 200_000,
            'a="' + "x" * 200_000,
        ):
            began = time.process_time()
            with pytest.raises(ValueError, match="malformed"):
                parse_dictionary(text)
            assert time.process_time() - began < 5

    @given(st.text(st.sampled_from('ab*=(); ,"\\:?01-.@té\t'), max_size=40))
    def test_nothing_is_read_that_another_reader_refuses(self, text):
        try:
            found = parse_dictionary(text)
        except ValueError:
            return
        other = http_sf.parse(text.encode(), tltype="dictionary")
        assert list(found) == list(other)
        assert written(found) == (http_sf.ser(other) if other else "")


class TestDigests:
    @given(st.binary(max_size=200))
    def test_a_digest_is_that_of_its_body(self, body):
        check = DigestCheck(content_digest(body))
        check.update(body)
        assert check.holds
        check.update(b"x")
        assert not check.holds

    def test_all_that_are_known_have_to_hold(self):
        both = f"{content_digest(BODY)}, {DIGEST}, md5=:AA==:"
        check = DigestCheck(both)
        check.update(BODY)
        assert check.holds
        check = DigestCheck(f"{content_digest(BODY + b'x')}, {DIGEST}")
        check.update(BODY)
        assert not check.holds

    @pytest.mark.parametrize(
        "field",
        ["", "md5=:AA==:", "sha-256=abc", "sha-256", "sha-256=(:AA==:)", "nonsense=="],
    )
    def test_what_tells_no_digest_is_refused(self, field):
        with pytest.raises(ValueError, match=r"expected|malformed"):
            DigestCheck(field)

    @pytest.mark.parametrize("digest", [b"", hashlib.sha512(BODY).digest()])
    def test_a_digest_of_another_length_does_not_hold(self, digest):
        check = DigestCheck(f"sha-256={Item(digest)}")
        check.update(BODY)
        assert not check.holds


class TestTheSignedText:
    @pytest.mark.parametrize(
        "items",
        [
            [Item("a"), Item("a")],
            [Item("a", {"x": True}), Item("a", {"x": True})],
            [Item(Token("a"))],
            [Item("a\nb")],
            [Item("gone")],
            [Item("lines")],
            [Item("umlaut")],
        ],
    )
    def test_what_would_be_ambiguous_is_refused(self, items):
        values = {"a": "1", "lines": 'x\n"@path": /y', "umlaut": "é"}
        with pytest.raises(ValueError, match=r"expected|the message has none"):
            signature_base(InnerList(tuple(items)), lambda item: values.get(item.value))

    @pytest.mark.parametrize(
        ("host", "scheme", "expected"),
        [
            ("Example.COM", "http", "example.com"),
            ("example.com:80", "http", "example.com"),
            ("example.com:443", "http", "example.com:443"),
            ("example.com:443", "https", "example.com"),
            ("[::1]:4334", "http", "[::1]:4334"),
        ],
    )
    def test_the_authority_is_without_the_usual_port(self, host, scheme, expected):
        assert authority(host, scheme) == expected


SERVER, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def request_():
    return sign_request(
        "POST", "http://h/x?y", JSON, BODY, keyid="ann", key=OTHER, now=1000
    )


def answer(
    request_, *, key=SERVER, body=BODY, status=200, cover=None, created=1000, **params
):
    """A signed answer as a server would send it, or one that is wrong."""
    values = {
        '"@status"': str(status),
        '"content-digest"': content_digest(body),
        '"content-type"': "application/json",
        '"signature";req;key="sig1"': str(Item(request_.signature)),
    }
    covered = parse_dictionary(f"sig1=({' '.join(cover or values)})")["sig1"]
    covered = InnerList(
        covered.items,
        {"created": created, "keyid": "server", "tag": "toolserver", **params},
    )
    base = signature_base(covered, lambda item: values[str(item)])
    return {
        **JSON,
        "Content-Digest": content_digest(body),
        "Signature-Input": f"sig1={covered}",
        "Signature": f"sig1={Item(sign(key, base))}",
    }


def check(request_, fields, *, key=SERVER, body=BODY, status=200, now=1000):
    verify_answer(status, fields, body, key=key.public_key(), request=request_, now=now)


class TestAnswers:
    def test_a_right_answer(self, request_):
        check(request_, answer(request_))
        check(request_, answer(request_, alg="ed25519", nonce="n"), now=1290)

    def test_an_answer_without_a_type(self, request_):
        fields = answer(
            request_,
            cover=['"@status"', '"content-digest"', '"signature";req;key="sig1"'],
        )
        del fields["Content-Type"]
        check(request_, fields)

    @pytest.mark.parametrize(
        ("making", "checking", "problem"),
        [
            ({}, {"body": BODY + b" "}, "body is not the one"),
            ({}, {"status": 201}, "does not hold"),
            ({"key": OTHER}, {}, "does not hold"),
            ({"keyid": "ann"}, {}, "another key"),
            ({"alg": "rsa-pss-sha512"}, {}, "another key"),
            ({"tag": "other"}, {}, "tag"),
            ({}, {"now": 1301}, "300 s ago"),
            ({"created": 1031}, {}, "30 s ahead"),
            ({"strange": 1}, {}, "strange"),
            (
                {"cover": ['"@status"', '"content-digest"']},
                {},
                "signature.*not covered",
            ),
            (
                {"cover": ['"@status"', '"signature";req;key="sig1"']},
                {},
                "content-digest.*not covered",
            ),
            (
                {
                    "cover": [
                        '"@status"',
                        '"content-digest"',
                        '"signature";req;key="sig1"',
                    ]
                },
                {},
                "content-type.*not covered",
            ),
        ],
    )
    def test_wrong_answers_are_refused(self, request_, making, checking, problem):
        fields = answer(request_, **making)
        with pytest.raises(SignatureError, match=problem):
            check(request_, fields, **checking)

    def test_the_answer_to_another_request_is_refused(self, request_):
        other = sign_request(
            "POST", "http://h/x?y", JSON, BODY, keyid="ann", key=OTHER, now=1000
        )
        with pytest.raises(SignatureError, match="does not hold"):
            check(request_, answer(other))

    @pytest.mark.parametrize("name", ["Content-Digest", "Signature", "Signature-Input"])
    def test_unsigned_answers_are_refused(self, request_, name):
        fields = answer(request_)
        del fields[name]
        with pytest.raises(SignatureError, match=f"not signed: no {name.lower()}"):
            check(request_, fields)

    @given(
        st.sampled_from(["Content-Digest", "Signature", "Signature-Input"]), st.text()
    )
    def test_any_text_is_refused(self, name, text):
        request_ = sign_request("GET", "http://h/", {}, b"", keyid="ann", key=OTHER)
        with pytest.raises(SignatureError):
            check(request_, {**answer(request_), name: text})


def test_a_shared_secret_signs_too(request_):
    signed = sign_request("GET", "http://h/", {}, b"", keyid="t", key=b"secret")
    assert 'alg="hmac-sha256"' in signed.fields["Signature-Input"]
    assert len(signed.signature) == 32


def test_what_shall_be_covered_has_to_be_there():
    with pytest.raises(ValueError, match='"x-more": the message has none'):
        sign_request(
            "GET", "http://h/", {}, b"", keyid="ann", key=OTHER, cover=("X-More",)
        )


def test_each_key_has_its_algorithm():
    rsa = generate("rsa")
    assert algorithm_of(rsa) == algorithm_of(rsa.public_key()) == "rsa-pss-sha512"
    assert verify(rsa.public_key(), b"x", sign(rsa, b"x"))
    assert not verify(rsa.public_key(), b"y", sign(rsa, b"x"))
