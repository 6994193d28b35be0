"""A bar on a terminal, nothing anywhere else."""

import os
import subprocess
import sys

import pytest

from medmint.progress import progress_bar

SHOW = """
import time
from medmint.progress import progress_bar
with progress_bar("samples") as progress:
    for done in (10, 40, 70):
        progress(done, 70, "10002_MODEL")
        time.sleep(0.15)
"""


def read_all(descriptor):
    """Read a terminal until the last program has left it."""
    text = b""
    try:
        while chunk := os.read(descriptor, 4096):
            text += chunk
    except OSError:
        # Linux says so where a file would end.
        pass
    return text.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_shows_a_bar_and_is_clean_in_the_end():
    import pty
    import termios

    owner, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW], stdout=subprocess.PIPE, stderr=terminal
    )
    os.close(terminal)
    shown = read_all(owner)
    os.close(owner)
    assert process.communicate()[0] == b""
    assert process.returncode == 0
    assert "10002_MODEL" in shown
    assert "70/70" in shown
    assert "samples" in shown
    assert shown.rstrip("\r\n").split("\r")[-1].strip() == ""


def test_a_pipe_shows_nothing_and_loads_no_presenter():
    code = SHOW + "import sys; print('tqdm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_program_without_standard_error_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with progress_bar("bytes", scale=True) as progress:
        progress(1, 0, "of unknown length")
