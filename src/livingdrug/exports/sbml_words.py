"""What the SBML writer and reader share: the annotation that carries what SBML has no word for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from livingdrug.errors import MissingExtra

__all__ = ["NAMESPACE", "TEXTS", "annotate", "annotation", "explain", "load_libsbml", "texts_of"]

NAMESPACE = "urn:livingdrug:sbml:1"
"""Namespace of the annotations: declared units, letters, limits, spreads and roles."""

TEXTS = ("diseases", "antigens", "claims", "errata", "limitations")
"""Lists of sentences of a model that its annotation holds as elements of their own."""


def load_libsbml(feature: str) -> Any:
    """Return the package libsbml.

    Raises:
        MissingExtra: if it is not installed.
    """
    try:
        import libsbml
    except ImportError:
        raise MissingExtra(feature, "libsbml", "exchange") from None
    return libsbml


def annotate(element: Any, attributes: Mapping[str, Any], texts: Mapping[str, Any] | None = None) -> None:
    """Put our annotation on an element; attributes that are None are left out."""
    given = "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items() if value is not None)
    inner = "".join(f"<l:{key}>{escape(text)}</l:{key}>" for key, values in (texts or {}).items() for text in values)
    element.setAnnotation(f'<l:livingdrug xmlns:l="{NAMESPACE}"{given}>{inner}</l:livingdrug>')


def annotation(element: Any) -> dict[str, str]:
    """Return the attributes of our annotation of an element; empty if it has none."""
    node = _node(element)
    if node is None:
        return {}
    return {node.getAttrName(k): node.getAttrValue(k) for k in range(node.getAttributesLength())}


def texts_of(element: Any) -> dict[str, list[str]]:
    """Return the sentences in our annotation of an element, by the word they stand under."""
    found: dict[str, list[str]] = {}
    node = _node(element)
    for child in [] if node is None else [node.getChild(k) for k in range(node.getNumChildren())]:
        if child.isElement():
            parts = (child.getChild(i) for i in range(child.getNumChildren()))
            found.setdefault(child.getName(), []).append("".join(p.getCharacters() for p in parts if p.isText()))
    return found


def explain(element: Any, *paragraphs: str) -> None:
    """Write the notes of an element, which other programs show to the reader."""
    body = "".join(f"<p>{escape(text)}</p>" for text in paragraphs if text)
    element.setNotes(f'<body xmlns="http://www.w3.org/1999/xhtml">{body}</body>')


def _node(element: Any) -> Any:
    whole = element.getAnnotation()
    for child in [] if whole is None else [whole.getChild(k) for k in range(whole.getNumChildren())]:
        if child.getURI() == NAMESPACE and child.getName() == "livingdrug":
            return child
    return None
