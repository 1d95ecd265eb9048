"""What answers requests: the application, joined from its parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolserver.auth.access import Access
from toolserver.builtin.api import API
from toolserver.builtin.mcp import MCPTool
from toolserver.builtin.wsdl import WSDLTool
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.describe.agentlogs import LogLevels
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.idempotency.keys import Keys, make_key_store
from toolserver.jobs.rendering import Rendering
from toolserver.jobs.scheduler import Scheduler
from toolserver.protocols.base import RPCProtocol
from toolserver.protocols.base import registered as codecs
from toolserver.protocols.jsonrpc import JSONRPC
from toolserver.protocols.mcp import MCP
from toolserver.protocols.soap import SOAP
from toolserver.protocols.xmlrpc import XMLRPC
from toolserver.services import Services
from toolserver.settings import Settings
from toolserver.web.app import App
from toolserver.web.callstreams import CallStreams
from toolserver.web.gateway import Gateway, configured
from toolserver.web.gateway import registered as applications
from toolserver.web.hosts import HostCheck
from toolserver.web.keyedrequests import KeyedRequests
from toolserver.web.origins import origin_of
from toolserver.web.proxies import Proxies
from toolserver.web.resourcemetadata import ResourceMetadata
from toolserver.web.rest import REST
from toolserver.web.rpc import RPC
from toolserver.web.static import StaticFiles

__all__ = ["Assembly", "assemble"]


@dataclass(frozen=True)
class Assembly:
    """The application, and those of its parts that are asked for.

    Attributes:
        app: Answers requests.
        rpc: The RPC protocols.
        gateway: The WSGI applications.
        modules: The names of the modules that offer protocols and applications.
    """

    app: App
    rpc: RPC
    gateway: Gateway
    modules: frozenset[str]


def assemble(services: Services, access: Access, home: Home) -> Assembly:
    """Join the parts of the application when all tools are in the registry.

    Args:
        services: What contexts offer to tools; learns the prefixes of the protocols.
        access: Tells who is calling, and who may not.
        home: The folders of the server.

    Returns:
        The application with its parts.

    Raises:
        StartError: A WSGI application that the settings name cannot be had.
    """
    settings = services.settings
    registry, dispatcher = services.registry, services.dispatcher
    wsdl = registry.of_class(WSDLTool)
    pages = registry.of_class(API)
    protocols: list[RPCProtocol] = [
        XMLRPC(settings.limits, settings.xmlrpc),
        SOAP(
            settings.limits,
            registry.target,
            wsdl.namespace if wsdl is not None else None,
        ),
        JSONRPC(settings.limits),
        *_mcp(services),
        *_picklerpc(settings, home, access),
        *codecs,
    ]
    keyed = _keyed(services, home)
    public = settings.server.public_url
    rpc = RPC(
        dispatcher,
        protocols,
        origins=[origin_of(public)] if public else [],
        max_calls=settings.limits.batch,
        logs_calls=settings.log.rpc,
        streams=CallStreams(services),
        keyed=keyed,
    )
    services.prefixes = rpc.prefixes
    rest = REST(registry, dispatcher, settings=settings, keyed=keyed)
    services.part(Rendering).render = rest.answer_for
    static = settings.static
    proxies = Proxies(settings.server.trusted_proxies)
    if settings.server.proxy_protocol and not proxies:
        raise StartError(
            "server.proxy_protocol: nobody could connect; name the proxies in "
            "server.trusted_proxies"
        )
    resource = None
    if settings.auth.authorization_servers:
        agents = (MCP.prefix, *MCP.aliases)
        resource = ResourceMetadata(settings.auth, set(agents).intersection(rpc.paths))
    gateway = Gateway([*applications, *configured(settings.wsgi.applications)])
    app = App(
        services,
        access=access,
        proxies=proxies,
        hosts=HostCheck(settings.server),
        rpc=rpc,
        rest=rest,
        static=StaticFiles(home.www, static) if static.enabled else None,
        gateway=gateway or None,
        resource=resource,
        start=pages.path if pages is not None else "",
    )
    modules = gateway.modules | {type(codec).__module__ for codec in codecs}
    return Assembly(app, rpc, gateway, frozenset(modules))


def _keyed(services: Services, home: Home) -> KeyedRequests:
    """What answers requests that may be sent again, with their keys."""
    settings, scheduler = services.settings, services.part(Scheduler)
    keys = Keys(make_key_store(settings.jobs, home), scheduler.clock.now, settings.jobs)
    services.provide(Keys, keys)
    return KeyedRequests(
        keys,
        services.dispatcher,
        max_body=settings.limits.body,
        max_answer=settings.jobs.idempotency_answer,
    )


def _mcp(services: Services) -> Iterator[RPCProtocol]:
    """MCP, unless its tool is left out."""
    entry = services.registry.of_class(MCPTool)
    if entry is not None:
        settings = entry.tool.settings
        catalog = AgentCatalog(services.registry, settings.expose)
        levels = services.part(LogLevels) if settings.logs else None
        yield MCP(services.settings.limits, catalog, entry.namespace, levels)


def _picklerpc(settings: Settings, home: Home, access: Access) -> Iterator[RPCProtocol]:
    """PickleRPC, where it is switched on and may be."""
    if not settings.picklerpc.enabled:
        return
    if not settings.auth.rsa_authenticate:
        raise StartError(
            "picklerpc.enabled: a pickle is only taken from who has signed it; it "
            "needs auth.rsa_authenticate = true"
        )
    # Only servers with keys wait for the library to be imported.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from toolserver.auth.keys import SERVER
    from toolserver.protocols.picklerpc import PickleRPC
    from toolserver.protocols.pickles import classes_of

    if not isinstance(access.own_key, RSAPrivateKey):
        raise StartError(
            f"{home.privkeys / SERVER}.pem: PickleRPC needs an RSA key; this one can "
            "sign, and nothing can be sealed for it"
        )
    lifetime = settings.picklerpc.session_lifetime
    yield PickleRPC(
        lambda: access.own_key,
        classes_of(settings.picklerpc.classes),
        max_size=settings.limits.body,
        is_unlimited=settings.picklerpc.unlimited,
        sessions=access.offer_sessions(lifetime) if lifetime else None,
    )
