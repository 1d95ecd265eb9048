"""Introspection: what tools and methods there are, and how they are called.

Spec: XML-RPC introspection (``listMethods``, ``methodSignature``, ``methodHelp``),
``multicall`` as Eric Kidd proposed it, and ``getCapabilities``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolserver.batches import claim_calls, in_turns
from toolserver.calls import Call
from toolserver.contracts import invariant_texts
from toolserver.describe.typedefinitions import define_types
from toolserver.entries import Target, ToolEntry
from toolserver.errors import InvalidParams, MethodNotFound, ToolserverError
from toolserver.marks import expose, read_only
from toolserver.methods import MethodSpec, Parameter
from toolserver.plain import to_plain
from toolserver.protocols.xmlrpc_writer import write_response
from toolserver.services import services
from toolserver.tools import InternalTool
from toolserver.types import Kind, Type
from toolserver.visibility import check_visible, visible

__all__ = ["SystemTool"]

#: Names of XML-RPC's types by kind.
_XMLRPC_TYPES = {
    Kind.NONE: "nil",
    Kind.BOOL: "boolean",
    Kind.INT: "int",
    Kind.FLOAT: "double",
    Kind.BYTES: "base64",
    Kind.DATETIME: "dateTime.iso8601",
    Kind.LIST: "array",
    Kind.SET: "array",
    Kind.TUPLE: "array",
    Kind.MAP: "struct",
    Kind.RECORD: "struct",
}
_VALUE_TYPES = {bool: "boolean", int: "int", float: "double"}


class SystemTool(InternalTool):
    """Tells what can be called, and makes several calls at once."""

    @expose("listMethods")
    @read_only
    def list_all_methods(self) -> list[str]:
        """List all methods that may be called.

        Returns:
            Full names, sorted.
        """
        return sorted(
            target.name
            for entry in visible(services().registry.listed())
            for target in entry.methods.values()
            if target.exported
        )

    @expose("methodSignature")
    @read_only
    def method_signature(self, name: str) -> list[list[str]]:
        """Tell the types of a method as XML-RPC names them.

        Args:
            name: Full name of the method.

        Returns:
            The possible signatures: the type of the result, then those of the
            parameters; one for each number of arguments that may be given.
        """
        spec = _find(name).spec
        types = [_xmlrpc_type(parameter.type) for parameter in spec.parameters]
        required = sum(parameter.required for parameter in spec.parameters)
        returns = _xmlrpc_type(spec.returns)
        return [
            [returns, *types[:count]] for count in range(len(types), required - 1, -1)
        ]

    @expose("methodHelp")
    @read_only
    def method_help(self, name: str) -> str:
        """Tell what a method is for.

        Args:
            name: Full name of the method.

        Returns:
            Its signature, its doc string and its contracts.
        """
        target = _find(name)
        spec = target.spec
        contracts = [
            *(f"Requires: {text}" for text in spec.requires),
            *(f"Ensures: {text}" for text in spec.ensures),
            *(f"Invariant: {text}" for text in invariant_texts(type(target.tool))),
        ]
        parts = [f"{name}{spec.signature}", spec.doc, "\n".join(contracts)]
        return "\n\n".join(part for part in parts if part)

    @expose
    @read_only
    def describe(self, namespace: str) -> list[dict[str, Any]]:
        """Describe the methods of a tool for programs that call it.

        Args:
            namespace: Dotted name of the tool.

        Returns:
            For each method its name, signature, summary, and the names, types and
            defaults of its parameters, of which those of the kind ``keyword`` are
            given by name alone; as ``rest`` and ``extra`` what takes further
            arguments by position and by name; whether calls change nothing, or
            nothing more when repeated; the texts of its contracts, and of what always
            holds for the tool.
        """
        entry = _entry(namespace)
        return [
            {
                "name": target.spec.name,
                "signature": target.spec.signature,
                "summary": target.spec.summary,
                **_describe_parameters(target.spec),
                "returns": target.spec.returns.name,
                "read_only": target.spec.is_read_only,
                "idempotent": target.spec.is_idempotent,
                "requires": list(target.spec.requires),
                "ensures": list(target.spec.ensures),
                "invariants": list(entry.invariants),
            }
            for _, target in sorted(entry.methods.items())
            if target.exported
        ]

    @expose
    @read_only
    def types(self, namespace: str) -> dict[str, dict[str, Any]]:
        """Tell what the types are made of that the methods of a tool name.

        Args:
            namespace: Dotted name of the tool.

        Returns:
            By the name of each type its ``kind`` (``record``, ``dict``, ``tuple``,
            ``enum`` or ``any``) and its ``members``.
        """
        entry = _entry(namespace)
        return define_types(
            target.spec for target in entry.methods.values() if target.exported
        )

    @expose("listTools")
    @read_only
    def list_tools(self) -> list[str]:
        """List the tools.

        Returns:
            Their namespaces, sorted; the root tool's is empty.
        """
        listed = services().registry.listed()
        return sorted(entry.namespace for entry in visible(listed))

    @expose("getCapabilities")
    @read_only
    def get_capabilities(self) -> dict[str, dict[str, Any]]:
        """Tell which extensions of XML-RPC the server knows."""
        return {
            name: {"specUrl": url, "specVersion": version}
            for name, url, version in (
                ("xmlrpc", "http://xmlrpc.com/spec", 1),
                (
                    "introspection",
                    "http://xmlrpc-c.sourceforge.net/introspection.html",
                    1,
                ),
                ("system.multicall", "http://www.xmlrpc.com/discuss/msgReader$1208", 1),
                (
                    "faults_interop",
                    "http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php",
                    20010516,
                ),
                ("nil", "http://ontosys.com/xml-rpc/extensions.php", 1),
            )
        }

    @expose
    def multicall(self, calls: list[dict[str, Any]]) -> list[Any]:
        """Make several calls, one after the other.

        Args:
            calls: Each with ``methodName`` and ``params``.

        Returns:
            For each call a list with its result, or a fault with ``faultCode`` and
            ``faultString``.

        Raises:
            InvalidRequest: There are too many of them, with the other calls of the same
                request.
        """
        claim_calls(len(calls), services().settings.limits.batch, "calls")
        return [self._call_one(call) for call in in_turns(calls)]

    def _call_one(self, call: dict[str, Any]) -> Any:
        name = call.get("methodName")
        params = call.get("params", [])
        error: ToolserverError | None
        if not isinstance(name, str) or not isinstance(params, list):
            error = InvalidParams("expected a struct with methodName and params")
        elif name == f"{self.namespace}.multicall":
            error = InvalidParams("a multicall cannot be nested")
        else:
            outcome = services().dispatcher.call(Call(name, params))
            error = outcome.error
            if error is None:
                try:
                    value = to_plain(outcome.value)
                    # What cannot be sent is to spoil its own result alone.
                    write_response(value)
                    return [value]
                except BaseException as raised:  # by a class of the tool
                    error = outcome.fail(raised)
        return {"faultCode": error.code, "faultString": error.message}


@contextmanager
def _asked_for() -> Iterator[None]:
    """What cannot be found is the caller's mistake, not a failure of this tool."""
    try:
        yield
    except MethodNotFound as error:
        error.is_asked_for = True
        raise


def _entry(namespace: str) -> ToolEntry:
    with _asked_for():
        entry = services().registry.entry(namespace)
    check_visible(entry)
    return entry


def _find(name: str) -> Target:
    registry = services().registry
    with _asked_for():
        target = registry.target(name)
        if not target.exported:
            raise MethodNotFound(f"no method {name!r}")
    check_visible(registry.entry(target.tool.namespace))
    return target


def _xmlrpc_type(type_: Type) -> str:
    if type_.kind in (Kind.ENUM, Kind.LITERAL):
        kinds = {type(value) for value in type_.values}
        return _VALUE_TYPES.get(kinds.pop(), "string") if len(kinds) == 1 else "string"
    return _XMLRPC_TYPES.get(type_.kind, "string")


def _describe_parameters(spec: MethodSpec) -> dict[str, Any]:
    described: dict[str, Any] = {
        "parameters": [
            _describe(parameter, "positional" if index < spec.positional else "keyword")
            for index, parameter in enumerate(spec.parameters)
        ]
    }
    for key, parameter in (("rest", spec.rest), ("extra", spec.extra)):
        if parameter is not None:
            described[key] = {"name": parameter.name, "type": parameter.type.name}
    return described


def _describe(parameter: Parameter, kind: str) -> dict[str, Any]:
    described = {
        "name": parameter.name,
        "type": parameter.type.name,
        "kind": kind,
        "required": parameter.required,
    }
    if not parameter.required:
        described["default"] = to_plain(parameter.default)
    return described
