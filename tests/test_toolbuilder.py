"""Settings that name tools which are not there."""

import re

import pytest

from toolserver import StandardTool, register
from toolserver.errors import StartError
from toolserver.testing import serve


@register("shop.orders")
class Orders(StandardTool):
    most = 5


@pytest.mark.parametrize(
    ("namespace", "hint"),
    [
        ("shop.order", ", did you mean 'shop.orders'?"),
        ("Shop.Orders", ", did you mean 'shop.orders'?"),
        ("zzz", ""),
    ],
)
def test_settings_of_a_tool_that_is_not_there_are_refused(namespace, hint):
    expected = re.escape(f'[tool."{namespace}"]: no such tool{hint}') + "$"
    with (
        pytest.raises(StartError, match=expected),
        serve(Orders, settings={namespace: {"most": 7}}),
    ):
        pass
