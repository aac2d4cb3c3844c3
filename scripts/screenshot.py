"""Takes a picture of the agent at work in JupyterLab: docs/images/jupyterlab.png.

It is set up as `gptoss-acp editor jupyter --print` tells, in a scratch folder, with the bundled model. A browser
without a window asks it to change a file, and answers its question. What it says is what is seen.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURE = REPOSITORY / "docs" / "images" / "jupyterlab.png"
SECONDS = 120
WIDTH, HEIGHT = 1100, 860

PERSONA = ".jupyter/personas/gpt_oss_persona.py"
SETTINGS = {"@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
FILES = {
    "tax.txt": "91\n",
    "main.py": 'tax = int(open("tax.txt").read())\nprint("with tax:", 100 + 100 * tax // 100)\n',
}
PROMPTS = ("Read tax.txt", "Replace 91 with 19 in tax.txt", "Run `python3 main.py`")


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        _set_up(folder, arguments.agent.absolute())
        with _jupyterlab(folder) as address, _browser() as browser:
            _open_chat(browser, address)
            for prompt in PROMPTS:
                _ask(browser, prompt)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            browser.save_screenshot(str(arguments.out))
    print(f"{arguments.out}: look at it")


def _set_up(folder: Path, agent: Path) -> None:
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    command = [str(agent), "--model", "tiny", "--temperature", "0", "editor", "jupyter", "--print"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    persona = folder / PERSONA
    persona.parent.mkdir(parents=True)
    persona.write_text(told)
    for name, chosen in SETTINGS.items():
        file = folder.parent / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(chosen))


@contextmanager
def _jupyterlab(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--ServerApp.token=", f"--port={port}", "--ip=127.0.0.1", "--allow-root"]
    options.append(f"--LabApp.user_settings_dir={folder.parent / 'settings'}")
    home = {"HOME": str(folder.parent)}
    command = [str(Path(sys.executable).with_name("jupyter-lab")), *options, f"--notebook-dir={folder}"]
    with (folder.parent / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env={**os.environ, **home}, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}/lab"
        finally:
            server.terminate()
            server.wait()


@contextmanager
def _browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for option in (
        "--headless=new",
        "--no-sandbox",
        "--force-device-scale-factor=1.5",
        f"--window-size={WIDTH},{HEIGHT}",
    ):
        options.add_argument(option)
    browser = webdriver.Chrome(options)
    try:
        yield browser
    finally:
        browser.quit()


def _open_chat(browser: Any, address: str) -> None:
    _until("JupyterLab", lambda: browser.get(address) or True)
    _until("the launcher", lambda: _click(browser, "//*[contains(@class, 'jp-LauncherCard')][contains(., 'Chat')]"))
    _until("the chat", lambda: _box(browser))


def _ask(browser: Any, prompt: str) -> None:
    """Send a prompt, allow what is asked, and wait for the end of the answer."""
    before = browser.find_element(By.TAG_NAME, "body").text
    box = _box(browser)
    box.send_keys(prompt, Keys.ENTER)
    still, seen = 0, before

    def answered() -> bool:
        nonlocal still, seen
        _click(browser, "//button[normalize-space()='Allow once']")
        now = browser.find_element(By.TAG_NAME, "body").text
        still, seen = (still + 1, seen) if now == seen and now != before else (0, now)
        return still >= 10

    _until(f"the answer to {prompt}", answered)


def _box(browser: Any) -> Any:
    return browser.find_element(By.CSS_SELECTOR, "textarea[placeholder*='Type a chat message']")


def _click(browser: Any, path: str) -> bool:
    for element in browser.find_elements(By.XPATH, path):
        if element.is_displayed():
            # Whatever lies above it: JupyterLab has notifications.
            browser.execute_script("arguments[0].click()", element)
            return True
    return False


def _until(what: str, holds: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            if found := holds():
                return found
        except WebDriverException:
            pass
        time.sleep(0.5)
    sys.exit(f"scripts/screenshot: {what} did not come within {SECONDS} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/screenshot", description=__doc__)
    parser.add_argument("agent", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=PICTURE, help="the picture (default: docs/images/jupyterlab.png)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
