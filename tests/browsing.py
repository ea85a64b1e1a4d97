"""A real browser for the tests of pages: headless Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def why_not():
    """Why there is no browser here, or None if there is one."""
    if CHROMIUM is None:
        return "needs Chromium"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "needs playwright"
    return None


@contextmanager
def chromium():
    """A browser, as Playwright has it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without its sandbox, which the kernel of a container often refuses.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser, path, width=1200, height=900, scheme="light"):
    """A page of ours in a window, drawn; errors in it, and requests for anything but the file, fail the test."""
    complaints = []
    window = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    try:
        window.on("console", lambda message: message.type in ("error", "warning")
                  and complaints.append(f"console: {message.text}"))
        window.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        window.on("request", lambda request: request.url.startswith(("file:", "data:", "blob:"))
                  or complaints.append(f"request: {request.url}"))
        window.goto(path.as_uri())
        window.wait_for_selector("html[data-ready=yes]", timeout=60_000)
        yield window
        assert complaints == []
    finally:
        window.close()


def frames(window, number=2):
    """Wait until the page has drawn."""
    for _ in range(number):
        window.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
