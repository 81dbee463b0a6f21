"""What every drawing function returns: an SVG that shows itself in a notebook and saves itself to a file."""

from __future__ import annotations

import html
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

FONT = "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif"

# A picture carries its own background, so its text is readable whatever page it stands on. A page that wants
# it to follow its own colours sets the three variables.
STYLE = (
    ".attendo-svg{--paper:var(--attendo-paper,#ffffff);--ink:var(--attendo-ink,#1d2330);--mute:var(--attendo-mute,#687182);"
    "--line:#2f6fb7;--light-line:#7aa6d8;"
    f"font-family:{FONT}}}"
    "@media (prefers-color-scheme:dark){.attendo-svg{--paper:var(--attendo-paper,#171b23);"
    "--ink:var(--attendo-ink,#e6e9ef);--mute:var(--attendo-mute,#98a1b2);"
    "--line:#8cbcf2;--light-line:#3f6ea6}}"
    ".attendo-svg .paper{fill:var(--paper)}.attendo-svg text{fill:var(--ink)}.attendo-svg "
    ".mute{fill:var(--mute)}"
    ".attendo-svg .line{stroke:var(--mute);fill:none}"
)

# XML 1.0 forbids these even when escaped, and a lone surrogate cannot be written as UTF-8.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def escape(text: object) -> str:
    """Any text, safe inside SVG and HTML, as content or as an attribute."""
    return html.escape(_FORBIDDEN.sub("\ufffd", str(text)), quote=True)


def text_width(text: str, size: float) -> float:
    """About how wide the text is drawn, in pixels: East Asian characters are square."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return size * (0.58 * (len(text) - wide) + wide)


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def number(value: float) -> str:
    """A coordinate, without digits nobody sees."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def words(
    text: object,
    x: float,
    y: float,
    size: float = 12,
    *,
    anchor: str = "start",
    angle: float = 0,
    mute: bool = False,
    extra: str = "",
) -> str:
    """A <text> element with its baseline at (x, y); `extra` is further attributes, as they are."""
    place = f'x="{number(x)}" y="{number(y)}"'
    if angle:
        place = f'transform="translate({number(x)} {number(y)}) rotate({number(angle)})"'
    attributes = [place, f'font-size="{size:g}"']
    if anchor != "start":
        attributes.append(f'text-anchor="{anchor}"')
    if mute:
        attributes.append('class="mute"')
    if extra:
        attributes.append(extra)
    return f"<text {' '.join(attributes)}>{escape(text)}</text>"


@dataclass(frozen=True)
class Picture:
    """A drawing. In a notebook it shows itself; `svg` is its source; `save` writes it to a file."""

    svg: str
    title: str = ""

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto;max-width:100%">{self.svg}</div>'

    def __repr__(self) -> str:
        return f"Picture({self.title!r})"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an .svg or .html file, by the path's ending; returns the path."""
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".svg":
            content = '<?xml version="1.0" encoding="UTF-8"?>\n' + self.svg + "\n"
        elif suffix in (".html", ".htm"):
            content = (
                '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
                '<meta name="viewport" content="width=device-width, initial-scale=1">'
                '<meta name="color-scheme" content="light dark">'
                f"<title>{escape(self.title or 'attendo')}</title></head>"
                f'<body style="margin:1rem">{self._repr_html_()}</body></html>\n'
            )
        else:
            raise ValueError(f"path: must end in .svg or .html, not {path.name!r}")
        path.write_text(content, encoding="utf-8")
        return path


def drawing(width: float, height: float, label: str, body: list[str]) -> str:
    """The <svg> element around the parts of a picture; `label` is what a screen reader says."""
    size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="attendo-svg" {size} role="img" '
    head += f'aria-label="{escape(label)}">'
    paper = f'<rect class="paper" width="{number(width)}" height="{number(height)}" rx="6"/>'
    return "".join([head, f"<style>{STYLE}</style>", paper, *body, "</svg>"])
