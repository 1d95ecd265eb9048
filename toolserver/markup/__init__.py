"""HTML, XML and RSS written as Python calls, escaped by default."""

from toolserver.markup.content import Attribute, Child

__all__ = ["Attribute", "Child"]
