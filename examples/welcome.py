"""The page at the root of the server: what runs here, and how to call it.

A tool may stand at the root, under the empty namespace; others keep their paths.
"""

from __future__ import annotations

from typing import Any

from toolserver import InternalTool, Markup, Request, call, html, register, rest

_STYLE = html.style("""
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 44rem; padding: 0 1rem; overflow-wrap: anywhere; }
code { font-size: .9em; }
li { margin: .3rem 0; }
""")


@register("")
class Welcome(InternalTool):
    """Lists the tools of the server."""

    @rest("GET")
    def index(self, request: Request) -> Markup:
        """The page."""
        names = [
            name for name in call("system.listTools") if name not in ("", "system")
        ]
        return html.document(
            "Toolserver",
            html.h1("Toolserver"),
            html.p(
                "These tools run here. Call their methods by their paths, over ",
                html.code("/RPC2"),
                " (XML-RPC) or ",
                html.code("/JSONRPC"),
                " (JSON-RPC 2.0).",
            ),
            ([html.h2(name), html.ul(self._methods(name))] for name in names),
            head=_STYLE,
        )

    @staticmethod
    def _methods(name: str) -> list[Markup]:
        folder = "/" + name.replace(".", "/")
        return [
            html.li(_how_to_call(folder, method), html.br(), method["summary"])
            for method in call("system.describe", name)
        ]


def _how_to_call(folder: str, method: dict[str, Any]) -> Markup:
    path = f"{folder}/{method['name']}"
    needs = any(parameter["required"] for parameter in method["parameters"])
    if method["read_only"] and not needs:
        # A link makes a call: only where there is nothing to give and to change.
        return html.a(html.code(path), href=path)
    return html.code(path, method["signature"])
