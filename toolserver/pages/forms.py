"""Forms that call a method from its page; a script sends them as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from toolserver.describe.samples import sample
from toolserver.markup.pages import html
from toolserver.methods import MethodSpec, Parameter
from toolserver.plain import to_plain
from toolserver.types import Kind, Type

__all__ = ["form"]

_NUMBERS = (Kind.INT, Kind.FLOAT)
_TEXTS = (Kind.STR, Kind.DECIMAL, Kind.UUID, Kind.TIMEDELTA)
_TIMES = (Kind.DATETIME, Kind.DATE, Kind.TIME)


def form(
    spec: MethodSpec, *, url: str, rpc: str, name: str, told: Mapping[str, str]
) -> Markup:
    """Write the form of a method.

    Args:
        spec: The method.
        url: Where its arguments go as a JSON object; empty if REST does not take
            them so.
        rpc: URL for JSON-RPC.
        name: The full name of the method.
        told: What the doc string tells of the parameters.

    Returns:
        The form.
    """
    fields = [_field(spec, each, told.get(each.name, "")) for each in spec.parameters]
    if spec.extra is not None:
        fields.append(
            _labelled(
                f"{spec.name}-**",
                "further arguments by name",
                html.textarea(
                    rows=2,
                    name="**",
                    id=f"try-{spec.name}-**",
                    data_kind="members",
                    placeholder='{"name": "value"}',
                ),
            )
        )
    return html.details(
        html.summary("Try it"),
        html.form(
            fields or html.p("It takes no arguments."),
            html.p(html.button("Call"), " ", html.button("Clear", type="reset")),
            html.output(aria_live="polite", tabindex=-1, hidden=True),
            method="post",
            class_="try",
            data_url=url or None,
            data_rpc=rpc,
            data_name=name,
        ),
        class_="script-only",
        hidden=True,
    )


def _field(spec: MethodSpec, parameter: Parameter, told: str) -> Markup:
    id_ = f"try-{spec.name}-{parameter.name}"
    common = {
        "id": id_,
        "name": parameter.name,
        "required": parameter.required and not parameter.type.nullable,
        "data-nullable": parameter.required and parameter.type.nullable,
    }
    return _labelled(
        f"{spec.name}-{parameter.name}",
        parameter.name,
        _input(parameter, common),
        hint=f"{parameter.type.name}{'' if parameter.required else ', optional'}",
        told=told,
    )


def _labelled(
    id_: str, label: str, control: Markup, *, hint: str = "", told: str = ""
) -> Markup:
    return html.div(
        html.label(label, html.small(hint) if hint else None, for_=f"try-{id_}"),
        control,
        html.small(told, class_="told") if told else None,
        class_="field",
    )


def _input(parameter: Parameter, common: Mapping[str, Any]) -> Markup:
    type_ = parameter.type
    match type_.kind:
        case Kind.BOOL:
            choices: list[Any] = [True, False]
        case Kind.ENUM | Kind.LITERAL:
            choices = [to_plain(value) for value in type_.values]
        case Kind.BYTES:
            return html.input(common, type="file", data_kind="file")
        case kind if kind in _NUMBERS:
            return html.input(
                common,
                type="text",
                inputmode="decimal" if kind is Kind.FLOAT else "numeric",
                placeholder=_default(parameter) or str(sample(type_)),
                data_kind="number",
                autocomplete="off",
            )
        case kind if kind in _TEXTS or kind in _TIMES:
            return _text(parameter, common)
        case _:
            return html.textarea(
                common,
                rows=_rows(type_),
                data_kind="json",
                placeholder=_default(parameter)
                or json.dumps(sample(type_), indent=1, ensure_ascii=False),
                spellcheck="false",
            )
    return html.select(
        common,
        html.option("", value="") if not common["required"] else None,
        [
            html.option(
                value if isinstance(value, str) else json.dumps(value),
                value=json.dumps(value),
            )
            for value in choices
        ],
        data_kind="choice",
    )


def _text(parameter: Parameter, common: Mapping[str, Any]) -> Markup:
    placeholder = _default(parameter) or str(sample(parameter.type))
    if parameter.type.kind is Kind.STR:
        return html.textarea(common, rows=1, data_kind="text", placeholder=placeholder)
    return html.input(
        common,
        type="text",
        data_kind="text",
        placeholder=placeholder,
        autocomplete="off",
    )


def _default(parameter: Parameter) -> str:
    if parameter.required or parameter.default is None:
        return ""
    value = to_plain(parameter.default)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _rows(type_: Type) -> int:
    return 5 if type_.kind in (Kind.RECORD, Kind.UNION, Kind.ANY) else 2
