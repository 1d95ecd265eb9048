"""Errors can be told apart by their codes."""

from collections import defaultdict

import toolserver.ext.errors
from toolserver import errors

#: Those that mean the same to a caller.
ALIKE = [{"Overload", "TooMany"}, {"EnsureBroken", "InvariantBroken"}]


def test_errors_that_mean_something_else_have_codes_of_their_own():
    owners = defaultdict(set)
    for module in (errors, toolserver.ext.errors):
        for name in module.__all__:
            cls = getattr(module, name)
            if issubclass(cls, errors.ToolserverError):
                # A class without a code of its own is one of its base's kind.
                owner = next(each for each in cls.__mro__ if "code" in vars(each))
                owners[cls.code].add(owner.__name__)
    # The base speaks of failures of the framework, as this one does.
    owners[errors.InternalError.code].discard("ToolserverError")
    shared = [each for each in owners.values() if len(each) > 1]
    assert sorted(shared, key=sorted) == sorted(ALIKE, key=sorted)
