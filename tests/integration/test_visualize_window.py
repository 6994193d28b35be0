"""A real window on a real (virtual) screen: opened, clicked, closed, looked at."""

import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

#: Screenshots are kept there if the variable is set.
KEEP = os.environ.get("MEDMINT_SCREENSHOTS")

SCRIPT = """
import sys
from medmint import Generators
with Generators() as generators:
    window = generators.visualize(10002, seed=7)
view = window.explorer.drawn.view
print(*view.shifts, window.explorer.view.seed)
"""
#: The middle of these controls in a window of 1200 x 800, in fractions from the top left.
FIRST_SLIDER, RESET = (0.9, 0.205), (0.8, 0.941)


def needs_a_screen(*programs):
    missing = [name for name in ("Xvfb", "xdotool", "import", *programs) if not shutil.which(name)]
    return pytest.mark.skipif(bool(missing), reason=f"not on this machine: {', '.join(missing)}")


class Screen:
    """A virtual screen of its own, with hands and eyes."""

    def __init__(self, width, height, folder):
        self.size = width, height
        self.folder = folder
        self._started = []

    def __enter__(self):
        read, write = os.pipe()
        width, height = self.size
        self._start(
            [
                "Xvfb",
                "-displayfd",
                str(write),
                "-screen",
                "0",
                f"{width}x{height}x24",
                "-nolisten",
                "tcp",
            ],
            pass_fds=(write,),
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        self.environment = os.environ | {"DISPLAY": f":{number}", "MPLBACKEND": "TkAgg"}
        return self

    def __exit__(self, *_):
        for process in reversed(self._started):
            process.terminate()
            process.communicate(timeout=30)

    def _start(self, command, **options):
        options = {"stderr": subprocess.DEVNULL} | options
        self._started.append(subprocess.Popen(command, **options))
        return self._started[-1]

    def run(self, code):
        return self._start(
            [sys.executable, "-c", code],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=None,
            text=True,
        )

    def browse(self, url):
        width, height = self.size
        self._start(
            [
                *("chromium", "--no-sandbox", "--disable-gpu", "--no-first-run", "--kiosk"),
                *(f"--user-data-dir={self.folder / 'chromium'}", f"--window-size={width},{height}"),
                url,
            ],
            env=self.environment,
            stdout=subprocess.DEVNULL,
        )

    def do(self, *words):
        command = ["xdotool", *map(str, words)]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def window(self, title):
        """Wait for a window and make it fill the screen."""
        found = []
        self.wait_for(lambda: found.append(self.do("search", "--name", title)) or found[-1], 60)
        number = found[-1].splitlines()[0]
        time.sleep(1)
        self.do("windowsize", number, *self.size)
        self.do("windowmove", number, 0, 0)
        time.sleep(2)
        return number

    def click(self, place):
        x, y = (round(side * part) for side, part in zip(self.size, place, strict=True))
        self.do("mousemove", x, y, "click", 1)

    def picture(self, name):
        path = self.folder / name
        subprocess.run(["import", "-window", "root", path], env=self.environment, check=True)
        if KEEP:
            shutil.copy(path, Path(KEEP) / f"{self.size[0]}_{name}")
        with Image.open(path) as picture:
            return picture.convert("RGB")

    def wait_for(self, is_so, seconds):
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, "it did not appear in time"
            time.sleep(0.2)


def left_half(picture):
    return np.asarray(picture)[:, : picture.width // 2].astype(int)


@pytest.mark.skipif(find_spec("tkinter") is None, reason="this Python has no tkinter")
@needs_a_screen()
@pytest.mark.parametrize(("width", "height"), [(1200, 800), (1920, 1080)])
def test_a_window_opens_and_obeys_the_mouse(width, height, tmp_path):
    with Screen(width, height, tmp_path) as screen:
        process = screen.run(SCRIPT)
        number = screen.window("^medmint$")
        first = screen.picture("first.png")
        screen.click(FIRST_SLIDER)
        screen.wait_for(
            lambda: np.abs(left_half(screen.picture("moved.png")) - left_half(first)).max() > 50, 30
        )
        screen.click(RESET)
        time.sleep(1)
        assert np.abs(left_half(screen.picture("reset.png")) - left_half(first)).mean() < 1
        screen.click(FIRST_SLIDER)
        time.sleep(1)
        # No window manager is there to close it; in windows of matplotlib this key does.
        screen.do("windowfocus", "--sync", number, "key", "q")
        output = process.communicate(timeout=60)[0].split()
    *shifts, seed = map(float, output)
    assert seed == 7
    assert shifts[0] != 0
    assert set(shifts[1:]) == {0}
