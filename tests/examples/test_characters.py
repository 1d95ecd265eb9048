"""The look into the Unicode Character Database, as its callers use it."""

import unicodedata

import pytest
from characters import Characters

import toolserver.testing


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Characters) as running:
        yield running


def test_characters_are_found_by_the_words_of_their_names(server):
    found = server.http.get(
        "/characters/search?words=arrow&words=leftwards&limit=3"
    ).json()
    assert found[0]["name"] == "LEFTWARDS ARROW"
    assert found[0]["text"] == "←"
    assert len(found) == 3


def test_a_text_is_described_character_by_character(server):
    (described,) = server.http.get("/characters/describe", params={"text": "é"}).json()
    assert described == {
        "code": "U+00E9",
        "name": "LATIN SMALL LETTER E WITH ACUTE",
        "text": "é",
        "category": "lowercase letter",
        "value": None,
        "decomposition": ["U+0065", "U+0301"],
    }
    answer = server.http.get("/characters/describe", params={"text": ""})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("plain text, 1 + 1\n\tand more", []),
        ("p\u0430ypal", ["mixed script"]),
        ("user\u200bname", ["invisible"]),
        ("access = 'user\u202e'", ["direction"]),
        ("bell\x07", ["control"]),
        ("\u0378", ["unassigned"]),
        ("Москва and London", []),
    ],
)
def test_what_a_reader_does_not_see_is_found(server, text, kinds):
    found = server.http.post("/characters/check", json={"text": text}).json()
    assert [finding["kind"] for finding in found] == kinds


def test_the_place_of_a_finding_is_told(server):
    text = "one\ntwo \u200b"
    (finding,) = server.http.post("/characters/check", json={"text": text}).json()
    assert (finding["line"], finding["column"]) == (2, 5)
    assert finding["character"]["code"] == "U+200B"
    assert finding["character"]["text"] == ""


def test_texts_are_normalized(server):
    arguments = {"text": "e\u0301", "form": "NFC"}
    assert server.http.post("/characters/normalize", json=arguments).text == "é"
    arguments["form"] = "NFX"
    answer = server.http.post("/characters/normalize", json=arguments)
    assert "expected one of 'NFC', 'NFD'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("U+00E9", 200, "LATIN SMALL LETTER E WITH ACUTE"),
        ("e9", 200, "U+00E9"),
        ("U+003C", 200, "<h1>&lt; LESS-THAN SIGN"),
        ("U+XYZ", 400, "expected U+ and digits"),
        ("U+110000", 400, "expected U+ and digits"),
        ("U+0378", 404, "no character"),
        ("U+D800", 404, "no character"),
        ("", 400, "expected one code point"),
    ],
)
def test_a_character_has_a_page(server, path, status, text):
    answer = server.http.get(f"/characters/show/{path}")
    assert answer.status_code == status
    assert text in answer.text


def test_the_version_is_pythons(server):
    assert server.http.get("/characters/version").text == unicodedata.unidata_version
