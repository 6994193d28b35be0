"""Make virtual environments and install into them, by uv or by pip.

Both fetch from where the user's pip and uv are set up to fetch from (a mirror, a local folder), and
from those settings alone: nothing that lies in the working directory is read, and no setting that
would install somewhere else, such as pip's ``user`` or ``target``, gets through.
"""

from __future__ import annotations

import configparser
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import platformdirs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from medmint.packages.environments.interpreters import ask_interpreter
from medmint.packages.environments.requirements import unmet_dependencies

#: File in the scratch folder that takes what an installer prints.
LOG_NAME = "installer.log"

#: Options of pip that say where packages come from and how they are reached.
_PIP_OPTIONS = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "keyring-provider"),
    *("cert", "client-cert", "proxy", "timeout", "default-timeout", "retries"),
    *("cache-dir", "no-cache-dir", "only-binary", "no-binary", "prefer-binary", "constraint"),
)
_PATH_OPTIONS = ("find-links", "cert", "client-cert", "constraint")
_UV_SOURCES = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
)
_UV_KEPT = re.compile(
    "UV_(DEFAULT_INDEX|INDEX.*|EXTRA_INDEX_URL|FIND_LINKS|INSECURE_HOST|KEYRING_PROVIDER|CACHE_DIR"
    "|NO_CACHE|OFFLINE|NATIVE_TLS|SYSTEM_CERTS|HTTP_.*|REQUEST_TIMEOUT|CONCURRENT_.*|EXCLUDE_NEWER"
    "|TORCH_BACKEND|PRERELEASE|CONSTRAINT|BUILD_CONSTRAINT|NO_BUILD.*|CREDENTIALS_DIR)"
)
_HELD_BACK = re.compile(
    "PYTHON.*|PIP_.*|UV_.*|VIRTUAL_ENV.*|CONDA_PREFIX|__PYVENV_LAUNCHER__"
    "|.*(TOKEN|SECRET|PASSWORD|CREDENTIAL|API_?KEY|ACCESS_KEY).*"
)
_FALSE = {"", "0", "false", "no", "off", "n", "f"}


class Installer(Protocol):
    """Something that makes virtual environments and fills them."""

    name: str

    def create(self, folder: Path, scratch: Path) -> None:
        """Make an empty virtual environment of the running Python in a folder.

        Raises
        ------
        subprocess.CalledProcessError
            If it did not work out; the reason is in the log in the scratch folder.
        """

    def install(self, folder: Path, requirements: Sequence[str], scratch: Path) -> None:
        """Install requirements into a virtual environment, and what they need in turn.

        Raises
        ------
        subprocess.CalledProcessError
            If it did not work out; the reason is in the log in the scratch folder.
        """


class UvInstaller:
    """Installs with uv.

    Parameters
    ----------
    program : Path
        The uv program.
    """

    name = "uv"

    def __init__(self, program: Path) -> None:
        self._program = program

    def create(self, folder: Path, scratch: Path) -> None:
        """Make an empty virtual environment of the running Python in a folder."""
        python = ["--python", sys.executable, "--no-python-downloads"]
        self._run(["venv", "--relocatable", *python, str(folder)], scratch)

    def install(self, folder: Path, requirements: Sequence[str], scratch: Path) -> None:
        """Install requirements, and what they need in turn.

        uv does not see the packages behind an environment and would download them again, so it is
        told to leave them out. Where one of them turns out to be too old or too new for what was
        installed, that one is installed as well.
        """
        python = environment_python(folder)
        behind = set(ask_interpreter(python).installed)
        wanted = list(requirements)
        while wanted:
            left_out = behind - {canonicalize_name(Requirement(text).name) for text in wanted}
            self._install(python, wanted, left_out, scratch)
            unmet = unmet_dependencies(ask_interpreter(python), packages_folder(folder))
            more = [text for text in unmet if canonicalize_name(Requirement(text).name) in left_out]
            if not more:
                return
            wanted += more

    def _install(
        self, python: Path, requirements: Sequence[str], left_out: set[str], scratch: Path
    ) -> None:
        overrides = scratch / "left_out.txt"
        lines = [f"{name} ; python_version < '0'\n" for name in sorted(left_out)]
        overrides.write_text("".join(lines), encoding="utf-8")
        # Hard links would share files, and with them changes, between all environments.
        how = ["--link-mode", "copy", "--compile-bytecode", "--overrides", str(overrides)]
        command = ["pip", "install", "--python", str(python), *how, *uv_source_arguments()]
        self._run([*command, "--", *requirements], scratch)

    def _run(self, arguments: Sequence[str], scratch: Path) -> None:
        settings = _uv_settings_file()
        config = ["--no-config"] if settings is None else ["--config-file", str(settings)]
        _run(
            [str(self._program), *config, "--color", "never", *arguments], uv_environment(), scratch
        )


class PipInstaller:
    """Installs with pip, the one of the running environment if it has one."""

    name = "pip"

    def create(self, folder: Path, scratch: Path) -> None:
        """Make an empty virtual environment of the running Python in a folder."""
        command = [sys.executable, "-I", "-B", "-m", "venv", "--without-pip", str(folder)]
        _run(command, pip_environment(), scratch)

    def install(self, folder: Path, requirements: Sequence[str], scratch: Path) -> None:
        """Install requirements, and what they need in turn.

        pip sees the packages behind an environment, and leaves them alone.
        """
        python = environment_python(folder)
        start = [str(python), "-I", "-B", "-X", "utf8", "-m"]
        if ask_interpreter(python).find("pip") is None:
            _run([*start, "ensurepip"], pip_environment(), scratch)
        command = [*start, "pip", "install", "--no-input", "--no-warn-script-location"]
        _run([*command, *requirements], pip_environment(), scratch)


def find_installer() -> Installer:
    """Return uv where it is installed, else pip."""
    program = _find_uv()
    return PipInstaller() if program is None else UvInstaller(program)


def environment_python(folder: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def packages_folder(folder: Path) -> Path:
    """Return the site-packages folder of a virtual environment of the running Python."""
    base = {"base": str(folder), "platbase": str(folder)}
    return Path(sysconfig.get_path("purelib", "venv", base))


def pip_environment() -> dict[str, str]:
    """Return the variables that pip is run with."""
    options = _pip_options()
    chosen = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in options.items()}
    fixed = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return _passed_on() | chosen | fixed


def uv_environment() -> dict[str, str]:
    """Return the variables that uv is run with. It reads none of pip's, so they are translated."""
    options = _pip_options()
    variables = _passed_on()
    translated = {
        "SSL_CERT_FILE": options.get("cert"),
        "SSL_CLIENT_CERT": options.get("client-cert"),
        "ALL_PROXY": options.get("proxy"),
        "UV_HTTP_TIMEOUT": options.get("timeout", options.get("default-timeout")),
        "UV_HTTP_RETRIES": options.get("retries"),
        "UV_INSECURE_HOST": options.get("trusted-host"),
    }
    if not _has_uv_sources():
        translated["UV_DEFAULT_INDEX"] = options.get("index-url")
        translated["UV_INDEX"] = options.get("extra-index-url")
        if "extra-index-url" in options:
            # pip takes the best version of all indexes; uv would stop at the first that has any.
            translated["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in translated.items() if value} | variables


def uv_source_arguments() -> list[str]:
    """Return those of pip's options that uv takes as arguments alone."""
    if _has_uv_sources():
        return []
    options = _pip_options()
    arguments = [f"--find-links={place}" for place in options.get("find-links", "").split()]
    if options.get("no-index", "").lower() not in _FALSE:
        arguments.append("--no-index")
    return arguments


def _passed_on() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if _UV_KEPT.fullmatch(name.upper()) or not _HELD_BACK.fullmatch(name.upper())
    }


def _pip_options() -> dict[str, str]:
    """Read the options of pip from its files and variables, in pip's own order."""
    files = configparser.RawConfigParser(strict=False)
    for path in _pip_files():
        with suppress(configparser.Error, UnicodeDecodeError):
            files.read(path, encoding="utf-8")
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if files.has_section(section):
            found.update({name.replace("_", "-"): text for name, text in files.items(section)})
    for name in _PIP_OPTIONS:
        variable = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
        if variable is not None:
            found[name] = variable
    return {name: _one_line(name, found[name]) for name in _PIP_OPTIONS if name in found}


def _one_line(option: str, value: str) -> str:
    if option not in _PATH_OPTIONS:
        return " ".join(value.split())
    # Installers run in a folder of their own, so relative paths would lead nowhere.
    here = (Path(word).expanduser() for word in value.split())
    words = zip(value.split(), here, strict=True)
    return " ".join(str(path.resolve()) if path.exists() else word for word, path in words)


def _pip_files() -> list[Path]:
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    name = "pip.ini" if os.name == "nt" else "pip.conf"
    system = platformdirs.site_config_dir("pip", appauthor=False, multipath=True).split(os.pathsep)
    folders = [*map(Path, system), Path("/etc")]
    if not (chosen and Path(chosen).exists()):
        folders += [Path.home() / "pip" if os.name == "nt" else Path.home() / ".pip"]
        folders += [Path.home() / ".config" / "pip"]
        folders += [platformdirs.user_config_path("pip", appauthor=False, roaming=True)]
    folders.append(Path(sys.prefix))
    return [folder / name for folder in folders] + ([Path(chosen)] if chosen else [])


def _uv_settings_file() -> Path | None:
    if os.environ.get("UV_NO_CONFIG", "").lower() not in _FALSE:
        return None
    chosen = os.environ.get("UV_CONFIG_FILE")
    if chosen:
        return Path(chosen).resolve()
    if os.name == "nt":
        folders = [os.environ.get("APPDATA"), os.environ.get("PROGRAMDATA")]
    else:
        user = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        folders = [user, *os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"), "/etc"]
    files = (Path(folder) / "uv" / "uv.toml" for folder in folders if folder)
    return next((file for file in files if file.is_file()), None)


def _has_uv_sources() -> bool:
    if any(os.environ.get(name) for name in _UV_SOURCES):
        return True
    settings = _uv_settings_file()
    text = "" if settings is None else settings.read_text(encoding="utf-8", errors="replace")
    return (
        re.search(r"^\W*(index|default-index|extra-index|find-links|no-index)", text, re.M)
        is not None
    )


def _find_uv() -> Path | None:
    with suppress(ImportError, FileNotFoundError):
        # A folder of this name, such as one of the user's, is a module without this function.
        find = getattr(importlib.import_module("uv"), "find_uv_bin", None)
        if find is not None:
            return Path(find())
    program = shutil.which("uv")
    return Path(program) if program else None


def _run(command: Sequence[str], environment: Mapping[str, str], scratch: Path) -> None:
    with (scratch / LOG_NAME).open("ab") as log:
        subprocess.run(
            command,
            check=True,
            cwd=scratch,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
