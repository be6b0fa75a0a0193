"""Figures as parts of the page: in its colours, pointed at with mouse or keyboard."""

from __future__ import annotations

import json
import re
from html import escape
from xml.etree import ElementTree

from prune_sweep.figures import Figure
from prune_sweep.figures import figure as look

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
#: Colours of the drawing and the theme's names for them.
_THEME = {
    look.INK: "ink",
    look.MUTED: "muted",
    look.GRID: "rule",
    look.PAPER: "paper",
    look.BLUE: "accent",
    look.ORANGE: "warm",
}


def figure_html(figure: Figure) -> str:
    """Return a figure element with its caption."""
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>"
    download = f'<button type="button" class="download" data-svg="{figure.name}">SVG</button>'
    return (
        f'<figure id="figure-{figure.name}" data-name="{figure.name}">'
        f"<h3>{escape(figure.title)} {download}</h3>"
        f'<div class="drawing" tabindex="0" role="group" '
        f'aria-label="{escape(figure.title, quote=True)}. {escape(figure.caption, quote=True)}">'
        f"{_inline_svg(figure)}</div>{caption}</figure>"
    )


def _inline_svg(figure: Figure) -> str:
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(figure.svg())
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    prefix = f"{figure.name}-"
    for element in root.iter():
        name = element.get("id", "")
        if name in figure.marks:
            mark = figure.marks[name]
            element.set("class", "mark")
            element.set("tabindex", "-1")
            element.set("role", "button")
            element.set("aria-label", mark.tip)
            element.set("data-variant", mark.variant)
        if name in figure.images:
            image = figure.images[name]
            content = {
                "rows": image.rows,
                "columns": image.columns,
                "unit": image.unit,
                "values": image.values,
            }
            element.set("class", "cells")
            element.set("data-cells", json.dumps(content, ensure_ascii=False))
        if name:
            element.set("id", prefix + name)
        _point_to(element, prefix)
    width = root.get("width", "600pt").removesuffix("pt")
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("style", f"width: {float(width) * 4 / 3:.0f}px")
    root.set("aria-hidden", "false")
    return _themed(ElementTree.tostring(root, encoding="unicode"))


def _point_to(element: ElementTree.Element, prefix: str) -> None:
    """Keep references whole: ids have the figure's name in front."""
    for attribute, value in list(element.attrib.items()):
        if attribute in ("data-cells", "aria-label", "data-variant", "id"):
            continue
        if attribute.endswith("href") and value.startswith("#"):
            element.set(attribute, f"#{prefix}{value[1:]}")
        elif "url(#" in value:
            element.set(attribute, value.replace("url(#", f"url(#{prefix}"))


def _themed(svg: str) -> str:
    for color, name in _THEME.items():
        svg = re.sub(rf"(: ?){color}\b", rf"\1var(--{name})", svg)
    return svg
