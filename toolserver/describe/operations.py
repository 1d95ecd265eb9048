"""One method under one verb as an operation of OpenAPI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from toolserver.describe.answers import generated, result_type
from toolserver.describe.background import ACCEPTED, PREFER, may_go_on
from toolserver.describe.definitions import Schema
from toolserver.describe.docstrings import DocString, parse_docstring
from toolserver.describe.jsonschema import Schemas
from toolserver.describe.keyedrequests import KEY, takes_key
from toolserver.describe.problems import (
    failures_of,
    functions_of,
    phrase,
    statuses_raised,
)
from toolserver.describe.scalars import UNKNOWN, json_value
from toolserver.describe.texts import is_plain, text_of
from toolserver.endpoints import Endpoint
from toolserver.methods import MethodSpec, Parameter
from toolserver.tools import ObsoleteTool
from toolserver.types import Kind, Type

__all__ = ["describe_operation", "path_parameters"]

Operation = dict[str, Any]

_JSON = "application/json"
_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_WITH_BODY = ("POST", "PUT", "PATCH")
_FREE_QUERY: dict[str, Any] = {
    "name": "query",
    "in": "query",
    "description": "Whatever the tool reads from the query.",
    "style": "form",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}


def path_parameters(endpoint: Endpoint) -> tuple[Parameter, ...]:
    """The parameters of a method that may be elements of the path after its name.

    Args:
        endpoint: What answers.

    Returns:
        All that are required, where text can give them; else none.
    """
    spec = endpoint.target.spec
    if endpoint.is_rest or endpoint.parser is not None:
        return ()
    required = tuple(each for each in spec.parameters if each.required)
    # Only leading ones have a place, and nothing is left out before them.
    if required != spec.parameters[: min(len(required), spec.positional)]:
        return ()
    return required if all(is_plain(each.type) for each in required) else ()


def describe_operation(
    schemas: Schemas,
    endpoint: Endpoint,
    verb: str,
    *,
    in_path: Iterable[Parameter] = (),
    has_key: bool = False,
    has_accounts: bool = False,
) -> Operation:
    """Describe what answers one verb of one path.

    Args:
        schemas: Makes the schemas of the document.
        endpoint: What answers.
        verb: The verb.
        in_path: Parameters of the method that are elements of the path.
        has_key: Whether the path holds keys of factories.
        has_accounts: Whether callers may say who they are.

    Returns:
        The operation, without id, tags and parameters of the path for keys.
    """
    spec = endpoint.target.spec
    doc = parse_docstring(spec.doc)
    has_body = verb in _WITH_BODY
    operation: Operation = {}
    if doc.summary:
        operation["summary"] = doc.summary
    description = _description(spec, doc)
    if description:
        operation["description"] = description
    if isinstance(endpoint.target.tool, ObsoleteTool):
        operation["deprecated"] = True
    taken = list(in_path)
    left = [each for each in spec.parameters if each not in taken]
    parameters = [_path_parameter(schemas, each, doc) for each in taken]
    if endpoint.is_rest or endpoint.parser is not None:
        parameters.append(_FREE_QUERY)
        if has_body:
            operation["requestBody"] = {
                "description": "Whatever the tool reads from the body.",
                "content": {"*/*": {}},
            }
    elif has_body:
        if left or spec.extra is not None or spec.rest is not None:
            body = _body(schemas, spec, left, doc, is_whole=not taken)
            operation["requestBody"] = body
    else:
        parameters += [_query_parameter(schemas, each, doc) for each in left]
        if spec.extra is not None:
            parameters.append(_free_parameter(schemas, spec.extra, doc))
    is_in_background = verb == "POST" and may_go_on(endpoint)
    if is_in_background:
        parameters.append(PREFER)
    has_keys = takes_key(endpoint, verb)
    if has_keys:
        parameters.append(KEY)
    if parameters:
        operation["parameters"] = parameters
    operation["responses"] = _responses(
        *(schemas, endpoint, verb, doc),
        has_body=has_body,
        takes_key=has_keys,
        has_key=has_key,
        has_accounts=has_accounts,
    )
    if is_in_background:
        operation["responses"].setdefault("202", ACCEPTED)
    return operation


def _description(spec: MethodSpec, doc: DocString) -> str:
    contracts = [
        *(f"- Requires: {text}" for text in spec.requires),
        *(f"- Ensures: {text}" for text in spec.ensures),
    ]
    examples = "\n".join(f"    {line}" for line in doc.examples.splitlines())
    return "\n\n".join(
        part for part in (doc.text, examples, "\n".join(contracts)) if part
    )


def _path_parameter(
    schemas: Schemas, parameter: Parameter, doc: DocString
) -> dict[str, Any]:
    schema = text_of(schemas, parameter.type).schema
    if schema.get("type") == "string" and not {"pattern", "format"} & schema.keys():
        # An empty element at the end of a path is none.
        schema = {**schema, "minLength": max(1, schema.get("minLength", 1))}
    found = {"name": parameter.name, "in": "path", "required": True, "schema": schema}
    return _with_text(found, doc.parameters.get(parameter.name, ""))


def _query_parameter(
    schemas: Schemas, parameter: Parameter, doc: DocString
) -> dict[str, Any]:
    text = text_of(schemas, parameter.type)
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
    }
    schema = _with_default(text.schema, parameter)
    if text.is_json:
        found["content"] = {_JSON: {"schema": schema}}
    else:
        found |= {"style": "form", "explode": True, "schema": schema}
    return _with_text(found, doc.parameters.get(parameter.name, ""))


def _free_parameter(
    schemas: Schemas, extra: Parameter, doc: DocString
) -> dict[str, Any]:
    values = text_of(schemas, extra.type)
    members: Schema | bool = True if values.is_json else values.schema
    found = {
        "name": extra.name,
        "in": "query",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": members},
    }
    return _with_text(found, doc.parameters.get(extra.name, ""))


def _body(
    schemas: Schemas,
    spec: MethodSpec,
    left: list[Parameter],
    doc: DocString,
    *,
    is_whole: bool,
) -> dict[str, Any]:
    names = {each.name for each in left}
    by_name = schemas.arguments(spec)
    by_name["properties"] = {
        name: schema for name, schema in by_name["properties"].items() if name in names
    }
    required = [name for name in by_name.pop("required", ()) if name in names]
    if required:
        by_name["required"] = required
    schema = by_name
    if spec.rest is not None and is_whole:
        schema = {"anyOf": [by_name, _by_position(schemas, spec, spec.rest, doc)]}
    contents: dict[str, Any] = {_JSON: {"schema": schema}}
    contents[_URLENCODED] = _form(schemas, spec, left, required)
    if any(map(_takes_file, left)):
        contents[_MULTIPART] = _form(schemas, spec, left, required, has_files=True)
    return {"required": bool(required), "content": contents}


def _by_position(
    schemas: Schemas, spec: MethodSpec, rest: Parameter, doc: DocString
) -> Schema:
    """An array with the arguments, for methods that take any number of them."""
    leading = spec.parameters[: spec.positional]
    schema: Schema = {"type": "array", "items": schemas.parameter(rest, doc)}
    if leading:
        schema["prefixItems"] = [schemas.parameter(each, doc) for each in leading]
        schema["minItems"] = sum(each.required for each in leading)
    return schema


def _form(
    schemas: Schemas,
    spec: MethodSpec,
    left: list[Parameter],
    required: list[str],
    *,
    has_files: bool = False,
) -> dict[str, Any]:
    told = parse_docstring(spec.doc).parameters
    properties: Schema = {}
    encoding = {}
    for each in left:
        text = text_of(schemas, each.type)
        schema = _with_default(text.schema, each)
        if has_files and _takes_file(each):
            schema = _file_schema(each.type)
        elif text.is_json:
            encoding[each.name] = {"contentType": _JSON}
        properties[each.name] = _with_text(schema, told.get(each.name, ""))
    schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    schema["additionalProperties"] = False
    if spec.extra is not None:
        values = text_of(schemas, spec.extra.type)
        schema["additionalProperties"] = True if values.is_json else values.schema
    return {"schema": schema, **({"encoding": encoding} if encoding else {})}


def _takes_file(parameter: Parameter) -> bool:
    items = parameter.type.items
    is_list = parameter.type.kind is Kind.LIST and len(items) == 1
    held = items[0] if is_list else parameter.type
    return held.kind is Kind.BYTES


def _file_schema(type_: Type) -> Schema:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    if type_.kind is Kind.BYTES:
        return file
    return {"type": "array", "items": file, "minItems": 1}


def _with_default(schema: Schema, parameter: Parameter) -> Schema:
    if parameter.required or parameter.default is None:
        return schema
    default = json_value(parameter.default)
    return schema if default is UNKNOWN else {**schema, "default": default}


def _with_text(told: dict[str, Any], text: str) -> dict[str, Any]:
    return {**told, "description": text} if text else told


def _responses(
    schemas: Schemas,
    endpoint: Endpoint,
    verb: str,
    doc: DocString,
    **facts: bool,
) -> dict[str, Any]:
    target = endpoint.target
    type_ = target.spec.returns
    if endpoint.is_rest:
        type_ = result_type(target.function)
    answers = generated(schemas, type_, endpoint.generators)
    raised = statuses_raised(functions_of(endpoint))
    if isinstance(target.tool, ObsoleteTool):
        answers = {}
        raised = {"410": [target.spec.summary]}
    if verb in ("GET", "HEAD") and "200" in answers:
        answers = {**answers, "304": {}}
    found: dict[str, Any] = {}
    for status, contents in answers.items():
        if status in ("404", "416"):
            raised.setdefault(status, [])
            continue
        text = doc.returns if status.startswith("2") and doc.returns else phrase(status)
        found[status] = {"description": text}
        if contents and verb != "HEAD":
            found[status]["content"] = {
                kind: {"schema": schema} if schema else {}
                for kind, schema in contents.items()
            }
    for status in [each for each in raised if each.startswith("3")]:
        found.setdefault(status, {})["description"] = "\n\n".join(raised.pop(status))
    failures = failures_of(
        schemas, endpoint, has_own="2XX" in answers, raised=raised, **facts
    )
    return dict(sorted({**failures, **found}.items()))
