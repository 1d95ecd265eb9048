"""Writes faults: what went wrong, in the form of either version.

The code says whose fault it is; which error it was tells the detail, in the element
``ToolFault`` that the WSDL declares: the name of the error and its message.

Spec: SOAP 1.1, section 4.4, and section 6.2 for the status; SOAP 1.2, part 1, section
5.4, and part 2, section 7.5.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from toolserver.describe.names import target_namespace
from toolserver.errors import ToolserverError
from toolserver.message import Response
from toolserver.protocols.soap_envelope import MustUnderstand, VersionMismatch
from toolserver.protocols.soap_names import SOAP11, SOAP12, Version
from toolserver.protocols.xmltext import escape, replace_illegal

__all__ = ["write_fault"]


def write_fault(error: ToolserverError, version: Version, namespace: str) -> Response:
    """Write the answer that tells of a failure.

    Args:
        error: The failure.
        version: The version of SOAP that the caller speaks.
        namespace: Dotted name of the tool.

    Returns:
        The answer.
    """
    make = _soap11 if version is SOAP11 else _soap12
    status, fault, header = make(error, _detail(error, namespace))
    prefix = "soapenv" if version is SOAP11 else "env"
    body = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<{prefix}:Envelope xmlns:{prefix}="{version.envelope}">{header}'
        f"<{prefix}:Body><{prefix}:Fault>{fault}</{prefix}:Fault></{prefix}:Body>"
        f"</{prefix}:Envelope>\n"
    )
    return Response(
        body.encode(),
        status=status,
        content_type=version.content_type,
    )


def _detail(error: ToolserverError, namespace: str) -> str:
    kind = type(error).__name__
    if isinstance(error.data, Mapping) and isinstance(error.data.get("type"), str):
        kind = error.data["type"]
    return (
        f'<ToolFault xmlns="{escape(target_namespace(namespace))}">'
        f"<type>{_text(kind)}</type><message>{_text(error.message)}</message>"
        "</ToolFault>"
    )


def _text(text: str) -> str:
    return escape(replace_illegal(text))


def _is_of_the_request(error: ToolserverError) -> bool:
    """Whether the message as a whole was refused, so that there is no detail of it.

    SOAP 1.1, section 4.4: a fault of the envelope has no detail.
    """
    return isinstance(error, (MustUnderstand, VersionMismatch))


def _soap11(error: ToolserverError, detail: str) -> tuple[int, str, str]:
    if isinstance(error, VersionMismatch):
        code = "VersionMismatch"
    elif isinstance(error, MustUnderstand):
        code = "MustUnderstand"
    else:
        code = "Client" if error.status < 500 else "Server"
        detail = f"<detail>{detail}</detail>"
    if _is_of_the_request(error):
        detail = ""
    fault = (
        f"<faultcode>soapenv:{code}</faultcode>"
        f"<faultstring>{_text(error.message)}</faultstring>{detail}"
    )
    return 500, fault, ""


def _soap12(error: ToolserverError, detail: str) -> tuple[int, str, str]:
    status, header = 500, ""
    if isinstance(error, VersionMismatch):
        code = "VersionMismatch"
        header = _header(
            f"<env:Upgrade>{_supported(SOAP12)}{_supported(SOAP11)}</env:Upgrade>"
        )
    elif isinstance(error, MustUnderstand):
        code = "MustUnderstand"
        header = _header("".join(map(_not_understood, error.names)))
    elif error.status < 500:
        status, code = 400, "Sender"
    else:
        code = "Receiver"
    shown = "" if _is_of_the_request(error) else f"<env:Detail>{detail}</env:Detail>"
    fault = (
        f"<env:Code><env:Value>env:{code}</env:Value></env:Code>"
        f'<env:Reason><env:Text xml:lang="en">{_text(error.message)}</env:Text>'
        f"</env:Reason>{shown}"
    )
    return status, fault, header


def _header(content: str) -> str:
    return f"<env:Header>{content}</env:Header>"


def _supported(version: Version) -> str:
    return f'<env:SupportedEnvelope qname="s:Envelope" xmlns:s="{version.envelope}"/>'


def _not_understood(tag: str) -> str:
    namespace, _, name = tag.rpartition("}")
    if not namespace:
        return f'<env:NotUnderstood qname="{_attribute(name)}"/>'
    uri = _attribute(namespace[1:])
    return f'<env:NotUnderstood qname="h:{_attribute(name)}" xmlns:h="{uri}"/>'


def _attribute(text: str) -> str:
    return _text(text).replace('"', "&quot;").replace("\n", " ").replace("\t", " ")
