"""Turns an OpenAPI document into what the page about the interface shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

_Node = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ApiField:
    """One member of a request or answer; ``name`` is its path, like ``scores[].id``."""

    name: str
    kind: str
    required: bool
    text: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the interface."""

    method: str
    path: str
    summary: str
    text: str
    takes: tuple[ApiField, ...]
    media: str  # of the request's body; empty: none
    gives: tuple[ApiField, ...]
    statuses: tuple[tuple[str, str], ...]  # with the codes of a refusal


def list_operations(document: _Node) -> list[Operation]:
    """Return every operation of a document that FastAPI made, in its order."""
    return [
        _operation(document, method, path, _node(operation))
        for path, methods in _node(document.get("paths")).items()
        for method, operation in _node(methods).items()
    ]


def _operation(document: _Node, method: str, path: str, call: _Node) -> Operation:
    body = _node(_node(call.get("requestBody")).get("content"))
    media = next(iter(body), "")
    responses = _node(call.get("responses"))
    answer = _node(_node(responses.get("200") or responses.get("201")).get("content"))
    parameters = [
        ApiField(str(p["name"]), _kind(_node(p["schema"])), p["required"] is True, "")
        for p in map(_node, cast("list[object]", call.get("parameters", [])))
    ]
    return Operation(
        method=method.upper(),
        path=path,
        summary=str(call.get("summary", "")),
        text=" ".join(str(call.get("description", "")).split()),  # one line
        takes=(*parameters, *_fields(document, _schema(body), "")),
        media=media,
        gives=_fields(document, _schema(answer), ""),
        statuses=tuple(
            (status, _refusal(_node(response)))
            for status, response in sorted(responses.items())
        ),
    )


def _refusal(response: _Node) -> str:
    is_problem = "application/problem+json" in _node(response.get("content"))
    return str(response["description"]) if is_problem else ""


def _fields(document: _Node, schema: _Node, prefix: str) -> tuple[ApiField, ...]:
    """List the members of a schema, those of inner objects after their own."""
    schema = _resolved(document, schema)
    if "items" in schema:
        return _fields(document, _node(schema["items"]), f"{prefix}[]")
    required = cast("list[str]", schema.get("required", []))
    fields: list[ApiField] = []
    for name, value in _node(schema.get("properties")).items():
        inner = _resolved(document, _node(value))
        path = f"{prefix}.{name}" if prefix else name
        text = str(_node(value).get("description", inner.get("description", "")))
        fields.append(ApiField(path, _kind(inner), name in required, text))
        fields += _fields(document, inner, path)
    return tuple(fields)


def _resolved(document: _Node, schema: _Node) -> _Node:
    reference = str(schema.get("$ref", ""))
    node = document if reference else schema
    for part in reference.split("/")[1:]:
        node = _node(node[part])
    return node


def _kind(schema: _Node) -> str:
    if "enum" in schema:
        return " | ".join(map(str, cast("list[object]", schema["enum"])))
    choices = cast("list[object]", schema.get("anyOf", []))
    if choices:
        return " | ".join(_kind(_node(choice)) for choice in choices)
    return str(schema.get("type", "object"))


def _schema(content: _Node) -> _Node:
    return _node(_node(content.get("application/json")).get("schema"))


def _node(value: object) -> _Node:
    return cast("_Node", value or {})
