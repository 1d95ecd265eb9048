"""Types as JSON Schema: what a call accepts, and what it answers.

Both are told exactly, so the two schemas of one type may differ: a member that has a
default may be left out of what is sent, and is always there in what comes back.

Each class that has a name of its own (records, enumerations, named tuples) is a
definition that is referred to, so that it may contain itself.

Spec: JSON Schema 2020-12. Patterns are those that ECMA-262 shares with other dialects;
``format`` stands only where values always follow the RFC behind it.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from toolserver.describe.constraints import (
    constraint_keywords,
    unwrap,
)
from toolserver.describe.definitions import Definitions, Schema, Way
from toolserver.describe.docstrings import DocString, parse_docstring
from toolserver.describe.names import members
from toolserver.describe.scalars import (
    KEYS,
    NOTHING,
    SCALARS,
    UNKNOWN,
    choice_schema,
    decimal_schema,
    json_value,
    key_schema,
    moment_schema,
    or_null,
)
from toolserver.methods import MethodSpec, Parameter
from toolserver.types import Field, Kind, Type

__all__ = ["Schemas"]

_STREAMS = (Iterator, Generator)


class Schemas:
    """The schemas of one document, which share their definitions.

    Args:
        prefix: What stands before the name of a definition in references.
        taken: Names that no definition may get.
    """

    def __init__(self, prefix: str = "#/$defs/", taken: Iterable[str] = ()) -> None:
        self._definitions = Definitions(prefix, taken)

    def accepted(self, type_: Type) -> Schema:
        """What a call takes for a type as JSON.

        Args:
            type_: The type of an argument.

        Returns:
            A schema; `resolve` fills in its references.
        """
        return self._of(type_, Way.IN)

    def returned(self, type_: Type) -> Schema:
        """What a call answers for a type as JSON.

        Args:
            type_: The type of a result.

        Returns:
            A schema; `resolve` fills in its references.
        """
        return self._of(type_, Way.OUT)

    def parameter(self, parameter: Parameter, doc: DocString) -> Schema:
        """What a call takes for one of its parameters, with default and text.

        Args:
            parameter: The parameter.
            doc: The doc string of its method.

        Returns:
            A schema; `resolve` fills in its references.
        """
        schema = self.accepted(parameter.type)
        return _told(schema, parameter, doc.parameters.get(parameter.name, ""))

    def arguments(self, spec: MethodSpec) -> Schema:
        """What a call takes whose arguments are given by name, in an object.

        Args:
            spec: The method.

        Returns:
            A schema; `resolve` fills in its references.
        """
        doc = parse_docstring(spec.doc)
        schema: Schema = {
            "type": "object",
            "properties": {
                each.name: self.parameter(each, doc) for each in spec.parameters
            },
            "additionalProperties": False,
        }
        required = [each.name for each in spec.parameters if each.required]
        if required:
            schema["required"] = required
        if spec.extra is not None:
            schema["additionalProperties"] = self.parameter(spec.extra, doc)
        return schema

    def definitions(self) -> dict[str, Schema]:
        """The definitions that were referred to, by name.

        Returns:
            Schemas; `resolve` fills in their references.
        """
        return self._definitions.named()

    def resolve(self, document: Any) -> Any:
        """Fill in the references, when all schemas of a document were made.

        Args:
            document: The document, or any part of it.

        Returns:
            A copy that JSON can express.
        """
        return self._definitions.resolve(document)

    def complete(self, schema: Schema) -> Schema:
        """Make a schema stand by itself, when it is a document of its own.

        Args:
            schema: One of the schemas above.

        Returns:
            The schema with the definitions that it refers to.
        """
        definitions = self.definitions()
        found: Schema = self.resolve(
            {**schema, "$defs": definitions} if definitions else schema
        )
        return found

    def _of(self, type_: Type, way: Way) -> Schema:
        bare, meta = unwrap(type_.hint)
        schema = self._without_bounds(type_, bare, meta, way)
        for each in meta:
            schema = {**schema, **constraint_keywords(each, type_.kind)}
        return or_null(schema) if type_.nullable else schema

    def _without_bounds(
        self, type_: Type, bare: Any, meta: Sequence[msgspec.Meta], way: Way
    ) -> Schema:
        match type_.kind:
            case Kind.ANY:
                return {}
            case Kind.OBJECT:
                return NOTHING if way is Way.IN or bare is msgspec.UnsetType else {}
            case Kind.DECIMAL:
                return decimal_schema(way)
            case Kind.DATETIME | Kind.TIME:
                return moment_schema(type_.kind, meta)
            case Kind.LITERAL:
                return choice_schema(type_.values, Type(bare), way)
            case Kind.ENUM:
                return self._refer(bare, way, lambda: self._enumeration(bare, way))
            case Kind.UNION:
                return self._union(type_, way)
            case Kind.LIST | Kind.SET:
                return self._array(type_, bare, way)
            case Kind.TUPLE:
                return self._tuple(type_, bare, way)
            case Kind.MAP:
                return self._mapping(type_, way)
            case Kind.RECORD:
                return self._refer(bare, way, lambda: self._record(type_, bare, way))
        return dict(SCALARS[type_.kind])

    def _refer(self, hint: Any, way: Way, make: Callable[[], Schema]) -> Schema:
        cls = typing.get_origin(hint) or hint

        def define() -> Schema:
            text = _text_of(_doc_of(cls))
            return {**({"description": text} if text else {}), **make()}

        title = Type(hint).name, cls.__module__
        return self._definitions.refer(hint, way, title, define)

    def _enumeration(self, cls: Any, way: Way) -> Schema:
        return choice_schema([member.value for member in cls], Type(cls), way)

    def _union(self, type_: Type, way: Way) -> Schema:
        choices: list[Schema] = []
        for item in type_.items:
            choice = self._of(item, way)
            if choice != NOTHING and choice not in choices:
                choices.append(choice)
        if not choices:
            return NOTHING
        if {} in choices:
            return {}
        if len(choices) == 1:
            return choices[0]
        if all(each.keys() == {"type"} for each in choices):
            return {"type": [each["type"] for each in choices]}
        return {"anyOf": choices}

    def _array(self, type_: Type, bare: Any, way: Way) -> Schema:
        if way is Way.IN and (typing.get_origin(bare) or bare) in _STREAMS:
            return NOTHING
        schema: Schema = {"type": "array"}
        items = self._of(type_.items[0], way) if type_.items else {}
        if items:
            schema["items"] = items
        if type_.kind is Kind.SET and way is Way.OUT:
            schema["uniqueItems"] = True
        return schema

    def _tuple(self, type_: Type, bare: Any, way: Way) -> Schema:
        if type_.variadic:
            return self._array(type_, bare, way)
        if not type_.items and hasattr(bare, "_fields"):
            return self._refer(
                bare, way, lambda: self._row(members(type_), way, _doc_of(bare))
            )
        return self._row(members(type_), way)

    def _row(
        self, fields: Sequence[Field], way: Way, doc: DocString | None = None
    ) -> Schema:
        """An array whose elements have their meaning by their places."""
        told = doc.parameters if doc is not None else {}
        schema: Schema = {"type": "array"}
        if fields:
            schema["prefixItems"] = [
                self._member(field, way, told.get(field.name, "")) for field in fields
            ]
        required = sum(field.required for field in fields)
        schema["minItems"] = required if way is Way.IN else len(fields)
        schema["maxItems"] = len(fields)
        return schema

    def _mapping(self, type_: Type, way: Way) -> Schema:
        schema: Schema = {"type": "object"}
        if len(type_.items) != 2:
            return schema
        keys, values = type_.items
        names = self._key_schema(keys, way)
        if names:
            schema["propertyNames"] = names
        members_schema = self._of(values, way)
        if members_schema:
            schema["additionalProperties"] = members_schema
        return schema

    def _key_schema(self, keys: Type, way: Way) -> Schema:
        if keys.kind in KEYS:
            return KEYS[keys.kind]
        if keys.kind in (Kind.ENUM, Kind.LITERAL):
            return key_schema(keys, way)
        schema = self._of(keys, way)
        if schema.get("type") != "string":
            return {}
        return {key: value for key, value in schema.items() if key != "type"}

    def _record(self, type_: Type, bare: Any, way: Way) -> Schema:
        cls = typing.get_origin(bare) or bare
        config = getattr(cls, "__struct_config__", None)
        fields = type_.fields if way is Way.IN else members(type_)
        doc = _doc_of(cls)
        if config is not None and config.array_like:
            row = self._row(type_.fields, way, doc)
            if way is Way.IN and not config.forbid_unknown_fields:
                # What follows is for members that a later version may have.
                del row["maxItems"]
            if config.tag is not None:
                row["prefixItems"] = [{"const": config.tag}, *row["prefixItems"]]
                for bound in row.keys() & {"minItems", "maxItems"}:
                    row[bound] += 1
            return row
        properties: Schema = {}
        required = []
        if config is not None and config.tag is not None:
            properties[config.tag_field] = {"const": config.tag}
            if way is Way.OUT:
                required.append(config.tag_field)
        for field in fields:
            told = doc.parameters.get(field.name, "")
            properties[field.name] = self._member(field, way, told)
            if field.required or (way is Way.OUT and _is_always_there(cls, field)):
                required.append(field.name)
        schema: Schema = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        if way is Way.IN and config is not None and config.forbid_unknown_fields:
            schema["additionalProperties"] = False
        return schema

    def _member(self, field: Field, way: Way, told: str) -> Schema:
        schema = self._of(field.type, way)
        if way is Way.OUT:
            return {**schema, "description": told} if told else schema
        return _told(schema, field, told)


def _told(schema: Schema, what: Parameter | Field, text: str) -> Schema:
    """A schema with what is known of the parameter or member that has it."""
    told = dict(schema)
    if text:
        told["description"] = text
    if not what.required and what.default is not inspect.Parameter.empty:
        default = json_value(what.default)
        if default is not UNKNOWN:
            told["default"] = default
    return told


def _is_always_there(cls: Any, field: Field) -> bool:
    """Whether a member that may be left out when sent is there in each answer."""
    unset = [field.type, *field.type.items]
    return not typing.is_typeddict(cls) and not any(
        each.hint is msgspec.UnsetType for each in unset
    )


def _doc_of(cls: Any) -> DocString:
    text = vars(cls).get("__doc__") or ""
    # Dataclasses and named tuples without a doc string get their signature.
    if text.startswith(f"{cls.__name__}("):
        text = ""
    return parse_docstring(inspect.cleandoc(text))


def _text_of(doc: DocString) -> str:
    return "\n\n".join(part for part in (doc.summary, doc.text) if part)
