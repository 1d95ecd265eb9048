"""The variables of a call."""

import gevent
import pytest

from toolserver import Var, context
from toolserver.contexts import Context, bind, current

user = Var("user", default="nobody")
basket = Var("basket", default_factory=list)
required = Var("required")


def test_outside_of_a_call_everything_is_empty():
    assert context.request is None
    assert context.client is None
    assert context.groups == frozenset()
    assert context.remaining() is None
    assert user.get() == "nobody"
    with pytest.raises(LookupError, match="no call is running"):
        user.set("x")
    with pytest.raises(LookupError, match="'required': not set"):
        required.get()


def test_a_bound_context_is_read_and_taken_off_again():
    with bind(Context(client="ann")):
        assert context.client == "ann"
    assert current() is None


def test_it_is_taken_off_after_an_exception_too():
    with pytest.raises(ZeroDivisionError), bind(Context(client="ann")):
        _ = 1 / 0
    assert current() is None


def test_its_attributes_cannot_be_set_by_tools():
    with pytest.raises(AttributeError):
        context.client = "eve"


def test_nested_calls_see_outer_values_and_keep_their_own_to_themselves():
    outer = Context(client="ann")
    with bind(outer):
        user.set("outer")
        with bind(outer.nested(None, "inner")):
            assert context.client == "ann"
            assert context.request_id == outer.request_id
            assert user.get() == "outer"
            user.set("inner")
        assert user.get() == "outer"


def test_a_made_default_is_kept_for_the_call():
    with bind(Context()):
        basket.get().append(1)
        assert basket.get() == [1]
    with bind(Context()):
        assert basket.get() == []
    # Outside of a call there is nothing to keep it for.
    basket.get().append(1)
    assert basket.get() == []


def test_greenlets_do_not_see_each_other():
    def work(name):
        with bind(Context(client=name)):
            gevent.sleep(0)
            return context.client

    jobs = [gevent.spawn(work, str(number)) for number in range(5)]
    gevent.joinall(jobs)
    assert [job.value for job in jobs] == ["0", "1", "2", "3", "4"]


def test_request_ids_differ():
    assert Context().request_id != Context().request_id
