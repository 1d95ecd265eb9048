"""Toolserver turns typed Python classes into web services.

The public names are imported when they are first used, so that importing the
package costs next to nothing and starts nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

    from toolserver.auth.base import register_authenticator
    from toolserver.auth.cram import CRAMSettings, CRAMTool, OnlyRPCCRAMTool
    from toolserver.calls import Call, Outcome
    from toolserver.chains import Chain, chain
    from toolserver.client import RemoteToolserver, connect
    from toolserver.contexts import Var, context
    from toolserver.contracts import ensure, invariant, require
    from toolserver.cors import CORS
    from toolserver.declarations import register
    from toolserver.errors import DirectResponse, Redirect
    from toolserver.factories import (
        FactoryTool,
        TransientFactoryTool,
        TransientTool,
    )
    from toolserver.forms import UploadedFile
    from toolserver.guards import AuthenticatedTool, require_client, require_group
    from toolserver.jobs.handles import Job
    from toolserver.jobs.progress import progress
    from toolserver.jobs.scheduler import job
    from toolserver.locks import RLock
    from toolserver.marks import (
        cached,
        destructive,
        every,
        expose,
        hidden,
        idempotent,
        limit,
        prompt,
        read_only,
        resource,
        retry,
        threaded,
    )
    from toolserver.markup.documents import xml
    from toolserver.markup.feeds import rss
    from toolserver.markup.pages import html
    from toolserver.media import Audio, Document, Image
    from toolserver.message import Request, Response, redirect
    from toolserver.protocols.base import RPCProtocol, register_protocol
    from toolserver.serverspace import notify, universe, wait
    from toolserver.services import call, proxy, tool
    from toolserver.storage import Storage
    from toolserver.tools import InternalTool, ObsoleteTool, StandardTool, Tool
    from toolserver.tuplespace import NoTuple, Space
    from toolserver.web.gateway import register_wsgi
    from toolserver.wrappers import generator, on_error, parser, rest, validate

__version__ = "1.0.0.dev0"

__all__ = [
    "CORS",
    "Audio",
    "AuthenticatedTool",
    "CRAMSettings",
    "CRAMTool",
    "Call",
    "Chain",
    "DirectResponse",
    "Document",
    "FactoryTool",
    "Image",
    "InternalTool",
    "Job",
    "Markup",
    "NoTuple",
    "ObsoleteTool",
    "OnlyRPCCRAMTool",
    "Outcome",
    "RLock",
    "RPCProtocol",
    "Redirect",
    "RemoteToolserver",
    "Request",
    "Response",
    "Space",
    "StandardTool",
    "Storage",
    "Tool",
    "TransientFactoryTool",
    "TransientTool",
    "UploadedFile",
    "Var",
    "cached",
    "call",
    "chain",
    "connect",
    "context",
    "destructive",
    "ensure",
    "every",
    "expose",
    "generator",
    "hidden",
    "html",
    "idempotent",
    "invariant",
    "job",
    "limit",
    "notify",
    "on_error",
    "parser",
    "progress",
    "prompt",
    "proxy",
    "read_only",
    "redirect",
    "register",
    "register_authenticator",
    "register_protocol",
    "register_wsgi",
    "require",
    "require_client",
    "require_group",
    "resource",
    "rest",
    "retry",
    "rss",
    "threaded",
    "tool",
    "universe",
    "validate",
    "wait",
    "xml",
]

_MODULES = {
    "toolserver.auth.base": ("register_authenticator",),
    "toolserver.auth.cram": ("CRAMSettings", "CRAMTool", "OnlyRPCCRAMTool"),
    "markupsafe": ("Markup",),
    "toolserver.calls": ("Call", "Outcome"),
    "toolserver.chains": ("Chain", "chain"),
    "toolserver.client": ("RemoteToolserver", "connect"),
    "toolserver.contexts": ("Var", "context"),
    "toolserver.contracts": ("ensure", "invariant", "require"),
    "toolserver.cors": ("CORS",),
    "toolserver.declarations": ("register",),
    "toolserver.errors": ("DirectResponse", "Redirect"),
    "toolserver.guards": ("AuthenticatedTool", "require_client", "require_group"),
    "toolserver.factories": (
        *("FactoryTool", "TransientFactoryTool", "TransientTool"),
    ),
    "toolserver.forms": ("UploadedFile",),
    "toolserver.jobs.handles": ("Job",),
    "toolserver.jobs.progress": ("progress",),
    "toolserver.jobs.scheduler": ("job",),
    "toolserver.locks": ("RLock",),
    "toolserver.markup.documents": ("xml",),
    "toolserver.markup.feeds": ("rss",),
    "toolserver.markup.pages": ("html",),
    "toolserver.marks": (
        *("cached", "destructive", "every", "expose", "hidden", "idempotent", "limit"),
        *("prompt", "read_only", "resource", "retry", "threaded"),
    ),
    "toolserver.media": ("Audio", "Document", "Image"),
    "toolserver.message": ("Request", "Response", "redirect"),
    "toolserver.protocols.base": ("RPCProtocol", "register_protocol"),
    "toolserver.serverspace": ("notify", "universe", "wait"),
    "toolserver.services": ("call", "proxy", "tool"),
    "toolserver.storage": ("Storage",),
    "toolserver.tools": ("InternalTool", "ObsoleteTool", "StandardTool", "Tool"),
    "toolserver.tuplespace": ("NoTuple", "Space"),
    "toolserver.web.gateway": ("register_wsgi",),
    "toolserver.wrappers": ("generator", "on_error", "parser", "rest", "validate"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'toolserver' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
