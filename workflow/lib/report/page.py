"""Pages that need no network: templates of workflow/report, with figures inside."""

import re
from pathlib import Path

import jinja2


def render(template, **values) -> str:
    """Return the page of a template (path) as HTML; a value that it lacks is an error."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(template).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return pages.get_template(Path(template).name).render(values)


def inline_svg(path: Path) -> str:
    """Return a figure as an SVG element for a page: without XML head, and without ids that nothing refers to."""
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    width = float(re.search(r' width="([\d.]+)pt"', text)[1])
    # In a narrow window it shrinks to a size that can still be read, then scrolls.
    text = text.replace("<svg", f'<svg role="img" style="min-width: {0.75 * width:.0f}pt"', 1)
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
