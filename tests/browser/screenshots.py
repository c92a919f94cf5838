"""Takes screenshots of the main pages for the README: `make screenshots`, or this module with a folder.

They show a demo site with a running task, in English (NAME.en.png) and Chinese (NAME.zh.png).
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import page_checks, requirements
from tests.browser.conftest import PHONE, WIDE, sign_in
from tests.browser.demo_settings import SETTINGS
from tests.browser.live_site import Site
from tests.browser.main_pages import TASKS, task_page

FOLDER = requirements.ROOT / "docs" / "screenshots"
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
MAX_BYTES = 250_000
MIN_SHARE = 0.55  # of the task that is processed
# Live pages refresh themselves; a picture is taken once their requests are answered.
READY = f"document.fonts.ready.then(() => {page_checks.SETTLED})"


def save(page: Page, path: Path) -> None:
    """Saves the visible part of the page in at most 256 colours."""
    page.wait_for_function(READY)
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    assert path.stat().st_size <= MAX_BYTES, path
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def wait_for_share(site: Site, task: str, page: Page) -> None:
    """Waits until enough of the task is processed, so that there is something to see."""
    page.goto(task_page(task))
    page.wait_for_function(
        r"""share => { const said = document.querySelector('.sc-bar p').textContent;
                       const found = /([\d,]+) of ([\d,]+)/.exec(said) ?? [0, '0', '1'];
                       const [done, all] = found.slice(1).map(n => Number(n.replace(',', '')));
                       return done / all >= share }""",
        arg=MIN_SHARE,
        timeout=120_000,
    )


def take(site: Site, browser: Browser, folder: Path) -> None:
    def window(language: str = "en-US", **options: Any) -> Page:
        context = browser.new_context(
            **{"base_url": site.url, "locale": language, "viewport": WIDE, "timezone_id": "UTC", **options},
            storage_state=state,
            reduced_motion="reduce",
        )
        return context.new_page()

    with tempfile.TemporaryDirectory() as place:
        state = str(Path(place) / "state.json")
        first = browser.new_context(base_url=site.url, locale="en-US")
        sign_in(first.new_page(), site, "administrator")
        first.storage_state(path=state)
        stock = f"/admin/tasks_app/stock/{site.stock('US', 'MSFT')}/change/"
        task = site.start_task(source="simulated", market="SIM")
        wait_for_share(site, task, window())
        live = {"dashboard": "/admin/", "task": task_page(task)}
        looks: dict[str, dict[str, Any]] = {
            "": {},
            "-dark": {"color_scheme": "dark"},
            "-phone": {"viewport": PHONE, "is_mobile": True, "has_touch": True, "device_scale_factor": 2},
        }
        for short, language in LANGUAGES.items():
            for name, path in live.items():
                for look, options in looks.items() if name == "task" else [("", {})]:
                    page = window(language, **options)
                    page.goto(path)
                    save(page, folder / f"{name}{look}.{short}.png")
        assert site.status(task) == "running", "the task was over before its picture was taken"
        site.become_idle()
        for short, language in LANGUAGES.items():
            for name, path in {"start": "/admin/start/", "stock": stock, "tasks": TASKS}.items():
                page = window(language)
                page.goto(path)
                if name == "stock":
                    page.locator("#st-ranges").wait_for()  # the chart is drawn
                save(page, folder / f"{name}.{short}.png")


def main() -> int:
    """Returns 0 when all screenshots were taken."""
    if reason := requirements.missing():
        print(f"No screenshots: {reason}")
        return 1
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="collector-") as place:
        site = Site(Path(place), **SETTINGS)
        try:
            site.seed("tests.browser.demo_data")
            site.start()
            with sync_playwright() as playwright:
                take(
                    site,
                    playwright.chromium.launch(
                        executable_path=requirements.chromium(), args=requirements.FLAGS
                    ),
                    folder,
                )
        finally:
            site.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
