"""What a worker sees of the user's environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

#: What programs need to run, and no secrets.
_PASSED_ON = re.compile(
    "PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|LD_LIBRARY_PATH|LD_PRELOAD"
    "|DYLD_LIBRARY_PATH|XDG_CACHE_HOME|SSL_CERT_FILE"
    "|SYSTEMROOT|WINDIR|COMSPEC|PATHEXT|USERPROFILE|LOCALAPPDATA|APPDATA"
    "|(LC|CUDA|NVIDIA|OMP|KMP|MKL|OPENBLAS|MALLOC|HIP|ROCR|HSA|PYTORCH|TORCH|CUBLAS)_.*"
)
#: Memory that a network lets go is kept for its next layer instead of being given back to the
#: system and asked for anew, which costs up to half of the time of a small network on a CPU.
#: The largest blocks are still given back, since a heap that holds them frays and grows.
#: Understood by glibc; elsewhere without meaning.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
_HELD_BACK = re.compile(".*(TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY|FORCE_NO_WEIGHTS_ONLY).*")


def worker_environment(environment: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """Return the variables for a worker: no tokens, nothing it has no use for.

    Parameters
    ----------
    environment : mapping of str to str
        The user's variables.
    temporary : Path
        Folder for what model code writes to temporary files.

    Examples
    --------
    >>> user = {"LANG": "C", "GITHUB_TOKEN": "x", "PYTHONPATH": "lib", "CUDA_PATH": "/cuda"}
    >>> sorted(worker_environment(user, Path("tmp")).keys() & user.keys())
    ['CUDA_PATH', 'LANG']
    """
    passed_on = {
        name: value
        for name, value in environment.items()
        if _PASSED_ON.fullmatch(name.upper()) and not _HELD_BACK.fullmatch(name.upper())
    }
    return {
        **_MALLOC,
        **passed_on,
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
        "MPLBACKEND": "Agg",
        # A set of texts keeps its order, so that model code that goes through one is repeatable.
        "PYTHONHASHSEED": "0",
    }
