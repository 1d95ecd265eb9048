"""The numbers of calls in JSON-RPC, which belong to no call."""

import json

from hypothesis import given
from hypothesis import strategies as st

from toolserver.protocols.jsonnumbers import essence_of, renumbered

NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.text(max_size=5), st.none())
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner)
    ),
    max_leaves=8,
)


def call(number, params):
    return {"jsonrpc": "2.0", "method": "a.b", "params": params, "id": number}


@given(NUMBERS, NUMBERS, VALUES)
def test_another_number_makes_no_other_call(one, other, params):
    first, again = call(one, params), call(other, params)
    turned = dict(reversed(again.items()))
    assert essence_of(first) == essence_of(turned)
    assert essence_of([first, first]) == essence_of([turned, again])


@given(VALUES, VALUES)
def test_other_parameters_make_another_call(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (essence_of(call(1, one)) == essence_of(call(1, other))) is same


def test_what_nobody_answers_is_another_call():
    note = call(1, [])
    del note["id"]
    assert len({essence_of(each) for each in (note, call(None, []), [note])}) == 3


def test_what_is_no_call_is_told_from_others():
    assert len({essence_of([each]) for each in (1, "1", None, call(1, []))}) == 4


def test_members_of_the_protocol_make_no_other_call():
    one, other = ({"name": "a", "_meta": {"token": token}} for token in (1, 2))
    assert essence_of(call(1, one)) != essence_of(call(1, other))
    assert essence_of(call(1, one), has_meta=True) == essence_of(
        call(1, other), has_meta=True
    )


@given(st.lists(st.tuples(NUMBERS, NUMBERS, VALUES), min_size=1, max_size=4))
def test_an_answer_gets_other_numbers_and_stays_the_same(answers):
    def written(numbers):
        batch = [
            {"jsonrpc": "2.0", "result": result, "id": number}
            for (_, _, result), number in zip(answers, numbers, strict=True)
        ]
        return json.dumps(batch if len(batch) > 1 else batch[0]).encode()

    before, after = ([each[side] for each in answers] for side in (0, 1))
    made = renumbered(written(before), after)
    assert json.loads(made) == json.loads(written(after))


def test_what_has_no_numbers_is_left_as_it_is():
    refused = b'{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}'
    assert renumbered(refused, [1, 2]) == refused
    assert renumbered(b"", [1]) == b""
