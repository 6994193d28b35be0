"""What README and documentation show is run as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/get-started.md",
    "docs/how-to/find.md",
    "docs/how-to/generate.md",
    "docs/how-to/look.md",
    pytest.param("docs/how-to/train.md", marks=pytest.mark.slow),
    pytest.param("docs/how-to/evaluate.md", marks=pytest.mark.slow),
    "docs/concepts/metrics.md",
    "docs/concepts/publishing.md",
    "docs/how-to/formats.md",
    "docs/how-to/contribute.md",
    "docs/how-to/make-your-own-model.md",
    "docs/reference/model-cards.md",
]
INSTALL_AND_DEMO = "python -m pip install . -c constraints.txt && medmint demo"
INSTALL_AND_TEST = 'python -m pip install -e ".[test]" -c constraints.txt && python -m pytest'


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_of_a_page_run_one_after_another(page, tmp_path):
    code = "\n".join(blocks(page, "python"))
    assert code
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [line for block in blocks("README.md", "console") for line in block.splitlines()],
)
def test_commands_of_the_readme_run(command, tmp_path):
    prompt, program, *arguments = shlex.split(command)
    assert (prompt, program) == ("$", "medmint")
    done = subprocess.run(
        [sys.executable, "-m", "medmint.cli", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_two_commands_stand_in_the_readme():
    assert [block.strip() for block in blocks("README.md", "bash")] == [
        INSTALL_AND_DEMO,
        INSTALL_AND_TEST,
    ]


@pytest.mark.parametrize("page", [path.name for path in ROOT.glob("*.md")])
def test_links_into_the_repository_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert not [link for link in links if not (ROOT / link).exists()]
