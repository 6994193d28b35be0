"""Names for one sample of one run that are the same whenever and wherever it is made again."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from medmint.writers.sample_writer import Sample

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "medmint")
#: Header entries that a sample depends on, beside package and seed. Models that draw their own
#: random numbers give other samples in batches of another size.
_OF_A_SAMPLE = ("model_id", "weights_sha256", "options", "latents_sha256")
_OF_A_BATCH = ("batch_size", "threads", "device")


def sample_uid(sample: Sample, role: str) -> str:
    """Return a DICOM UID for one thing of a sample.

    Parameters
    ----------
    sample : Sample
        Its run and its index.
    role : str
        What is named, such as ``"study"``.

    Returns
    -------
    str
        ``2.25.`` and the integer of a UUID (version 5) over package hash, options, seed, index and
        role: another run of the same has the same, everything else has another.

    References
    ----------
    DICOM PS3.5, B.2 "UUID Derived UID"; RFC 9562, 5.5.

    Examples
    --------
    >>> run = {"package_sha256": "ab", "seed": 7, "options": {}}
    >>> one, other = (Sample(index=i, arrays={}, label=None, run=run) for i in (0, 1))
    >>> sample_uid(one, "study")
    '2.25.36268782462880920618999008542841658088'
    >>> sample_uid(one, "study") == sample_uid(other, "study")
    False
    """
    return f"2.25.{_uuid(sample, role).int}"


def short_name(sample: Sample, role: str) -> str:
    """Return 16 hexadecimal digits that stand for one thing of a sample."""
    return _uuid(sample, role).hex[:16]


def pixel_role(name: str, pixels: bytes) -> str:
    """Return the role of an instance: equal names never stand for unequal pixels.

    Floating point on another number of threads can change a grey level.
    """
    return f"{name} {hashlib.sha256(pixels).hexdigest()}"


def _uuid(sample: Sample, role: str) -> uuid.UUID:
    run = sample.run
    names = _OF_A_SAMPLE + (_OF_A_BATCH if run.get("reproducible") == "batch" else ())
    condition: Any = run.get("condition")
    if isinstance(condition, list):
        condition = condition[sample.index]
    options = [{name: run.get(name) for name in names}, condition]
    facts = [run["package_sha256"], options, run["seed"], sample.index, role]
    return uuid.uuid5(NAMESPACE, json.dumps(facts, sort_keys=True))
