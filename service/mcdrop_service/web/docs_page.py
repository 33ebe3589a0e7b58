"""The page at /docs: one self-contained document, made from the OpenAPI description."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from starlette.responses import HTMLResponse, Response

__all__ = ["docs_page"]

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8886; padding: .5rem 0 1rem; }
h2 { font: 600 1.1rem ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: #8882; padding: .75rem; overflow-x: auto; border-radius: .3rem; }
td { padding: .1rem 1rem .1rem 0; vertical-align: top; }
"""

# nothing but the page's own style may be loaded or run
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'"


def docs_page(document: Mapping[str, Any]) -> Response:
    """The documentation as a page.

    Args:
        document: The service's OpenAPI document.

    Returns:
        HTML with its style inside and no script.
    """
    title = escape(document["info"]["title"])
    sections = "".join(_sections(document["paths"]))
    about = escape(document["info"].get("description", ""))
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{about}</p>{sections}"
        '<p>Machine-readable: <a href="openapi.json">openapi.json</a></p></body></html>'
    )
    return HTMLResponse(html, headers={"content-security-policy": POLICY})


def _sections(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for path, operations in paths.items():
        for method, operation in operations.items():
            yield f"<section><h2>{method.upper()} {escape(path)}</h2>{_operation(operation)}</section>"


def _operation(operation: Mapping[str, Any]) -> str:
    parts = [f"<p>{escape(operation.get('description', ''))}</p>", _request(operation), _responses(operation)]
    return "".join(parts)


def _request(operation: Mapping[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    fields = {name: field.get("description", "") for name, field in schema["properties"].items()}
    example = escape(json.dumps(schema["example"], indent=2)) if "example" in schema else "{}"
    return f"<h3>Request</h3>{_table(fields)}<pre>{example}</pre>"


def _responses(operation: Mapping[str, Any]) -> str:
    return "<h3>Answers</h3>" + _table(
        {code: told["description"] for code, told in operation["responses"].items()}
    )


def _table(rows: Mapping[str, str]) -> str:
    cells = (
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(text)}</td></tr>" for name, text in rows.items()
    )
    return f"<table>{''.join(cells)}</table>"
