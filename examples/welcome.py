"""The page at the root of the server: what runs here, and how to call it.

A tool may stand at the root, under the empty namespace; others keep their paths.
"""

from __future__ import annotations

from toolserver import InternalTool, Markup, Request, call, register, rest

_PAGE = Markup(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Toolserver</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 44rem;
       padding: 0 1rem; overflow-wrap: anywhere; }}
code {{ font-size: .9em; }}
li {{ margin: .3rem 0; }}
</style>
<h1>Toolserver</h1>
<p>These tools run here. Call their methods by their paths, over
<code>/RPC2</code> (XML-RPC) or <code>/JSONRPC</code> (JSON-RPC 2.0).</p>
{tools}
</html>
"""
)
_TOOL = Markup("<h2>{name}</h2><ul>{methods}</ul>")
_METHOD = Markup("<li><a href='{path}'><code>{path}</code></a><br>{summary}")
_CALL = Markup("<li><code>{path}{signature}</code><br>{summary}")


@register("")
class Welcome(InternalTool):
    """Lists the tools of the server."""

    @rest("GET")
    def index(self, request: Request) -> Markup:
        """The page."""
        names = [
            name for name in call("system.listTools") if name not in ("", "system")
        ]
        return _PAGE.format(tools=Markup("").join(map(self._describe, names)))

    @staticmethod
    def _describe(name: str) -> Markup:
        path = "/" + name.replace(".", "/")
        items = []
        for method in call("system.describe", name):
            needs = any(parameter["required"] for parameter in method["parameters"])
            # A link makes a call: only where there is nothing to give and to change.
            template = _METHOD if method["read_only"] and not needs else _CALL
            items.append(
                template.format(
                    path=f"{path}/{method['name']}",
                    **{key: method[key] for key in ("signature", "summary")},
                )
            )
        return _TOOL.format(name=name, methods=Markup("").join(items))
