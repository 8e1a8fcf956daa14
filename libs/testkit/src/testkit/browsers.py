"""A real browser for tests: Debian's Chromium, driven by Playwright, which downloads none.

It needs the extra ``browser`` of this package.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, async_playwright

TRACES: Final = Path(".slipway/browser")


@asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Browser]:
    """Start Chromium with further arguments, and stop it after the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--no-proxy-server", *arguments],
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def visitor(browser: Browser, *, name: str) -> AsyncIterator[Page]:
    """Open an empty page of a new visitor: without cookies of others.

    If the block raises, the visitor's trace is kept: ``playwright show-trace .slipway/browser/…``.

    Args:
        browser: the browser.
        name: the name of the test, which its trace gets.
    """
    context = await browser.new_context()
    await context.tracing.start(screenshots=True, snapshots=True, sources=True)
    try:
        yield await context.new_page()
    except BaseException:
        await context.tracing.stop(path=TRACES / f"{name}.zip")
        raise
    finally:
        await context.close()
