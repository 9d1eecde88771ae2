"""Pages in headless Chromium, where there is one."""

import html
import re
import shutil
import subprocess

import pytest
import yaml

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt-get install chromium)")

# Chromium's window is at least 500 px wide; a frame may be narrower.
FRAME = """<!DOCTYPE html><title></title><iframe width="{width}" height="900" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const inside = document.querySelector("iframe").contentDocument.documentElement;
  document.title = JSON.stringify({{width: inside.clientWidth, wide: inside.scrollWidth - inside.clientWidth}});
}});
</script>
"""


def title_of(page, width=1300) -> dict:
    """Return the JSON that a page's script has written into its title."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    options += [f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run(
        [BROWSER, *options, f"file://{page}"], capture_output=True, text=True, timeout=120, check=True
    )
    return yaml.safe_load(re.search(r"<title>(\{.*?\})</title>", done.stdout)[1])


def overflow(page, width) -> int:
    """Return by how many pixels a page is wider than a window of ``width``: it then scrolls sideways."""
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(width=width, page=html.escape(page.read_text())))
    seen = title_of(frame)
    assert width - 20 <= seen["width"] <= width  # less the scroll bar
    return seen["wide"]
