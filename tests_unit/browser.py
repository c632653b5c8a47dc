"""A page in a real browser: served on loopback, looked at in a frame of any width; what the browser complains of."""

import contextlib
import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=20000",
    "--window-size=1400,900",
]  # fmt: skip
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this host: apt-get install chromium"),
]

# A headless window is never as narrow as a phone, so the page stands in a frame; only this one has a script.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script>
const asked = new URLSearchParams(location.search), frame = document.createElement("iframe");
frame.width = asked.get("width"); frame.height = 800; frame.style.border = 0;
frame.onload = () => {
  const page = frame.contentDocument, root = page.documentElement, target = page.querySelector(":target");
  const open = element => !element.closest("details:not([open])") || element.tagName == "SUMMARY";
  const focusable = [...page.querySelectorAll("a[href]:not([tabindex='-1']),summary,[tabindex='0']")].filter(open);
  const right = element => element.getBoundingClientRect().right;
  const wide = element => right(element) > root.clientWidth + 1 && !element.closest(".wide,.skip");
  focusable[0].focus();
  const skip = focusable[0].getBoundingClientRect();
  const told = {
    width: root.clientWidth, needed: root.scrollWidth,
    wide: [...page.body.querySelectorAll("*")].filter(wide).map(element => element.outerHTML.slice(0, 200)),
    first: focusable[0].className, seen: skip.left >= 0 && skip.right <= root.clientWidth,
    unfocused: focusable.filter(element => { element.focus(); return page.activeElement != element }).length,
    reached: focusable.length,
    target: target && [target.id, target.getBoundingClientRect().height > 0, target.closest("details")?.open ?? null],
    paper: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
  };
  const result = document.createElement("pre");
  result.textContent = JSON.stringify(told);
  document.body.append(result);
};
frame.src = asked.get("page"); document.body.append(frame);
</script></body>
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve *folder*, and the frame in it; yield the address."""
    (folder / "frame.html").write_text(FRAME)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def look(site: str, profile: Path, page: str, *, width: int = 1280, flags: tuple[str, ...] = ()) -> dict:
    """Return what the frame found out about a page, and what the browser complained about."""
    url = f"{site}/frame.html?{urlencode({'page': page, 'width': width})}"
    command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"<pre>(\{.*?\})</pre>", done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return {**json.loads(unescape(found[1])), "complaints": complaints}
