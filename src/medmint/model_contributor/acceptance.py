"""Does a model do what its record says? Real samples, from a real worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError, ContractError, DeviceError
from medmint.generation_request import GenerationRequest
from medmint.samples import Array

if TYPE_CHECKING:
    from medmint.model_executor import ModelExecutor

SEED = 20230612
#: The second size leaves a rest behind in most runs.
BATCH_SIZES = (1, 5)
#: All of them are held in memory, several times.
MOST_SAMPLES = 1000
#: How far the same sample may differ between batch sizes: rounding of floating point sums.
_GREY_LEVELS = 1
_MASK_SHARE = 0.001

Samples = dict[str, Array]


class MakeExecutor(Protocol):
    """Makes what runs a record, with an interpreter of one's choice."""

    def __call__(self, record: ModelRecord, python: Path | None = None) -> ModelExecutor:
        """Return the executor."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What a test of a model has shown.

    Attributes
    ----------
    model_id : str
    seed : int
        Of the samples.
    samples : mapping of str to ndarray, first axis n
        What came out, by the names of the outputs.
    labels : tuple
        Class of each sample, empty for a model without.
    checks : tuple of str
        Each passed check in words.
    """

    model_id: str
    seed: int
    samples: Mapping[str, Array]
    labels: tuple[Any, ...]
    checks: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.model_id} passes:", *(f"  {check}" for check in self.checks)])

    def outputs(self) -> dict[str, dict[str, Any]]:
        """Describe the samples in the words of a record's ``execution.output``."""
        return {name: _described(array) for name, array in self.samples.items()}


class ModelTest:
    """The checks of one model, each separately callable.

    Parameters
    ----------
    record : ModelRecord
        Its package is used where the record says that it is.
    executor_of : MakeExecutor
    num_samples : int
        How many samples each check generates.
    """

    def __init__(
        self, record: ModelRecord, executor_of: MakeExecutor, *, num_samples: int = 3
    ) -> None:
        self.record = record
        if type(num_samples) is not int or not 1 <= num_samples <= MOST_SAMPLES:
            raise ArgumentError("num_samples", num_samples, f"a whole number to {MOST_SAMPLES}")
        self.num_samples = num_samples
        self._executor_of = executor_of
        self._executor = executor_of(record)

    def run(
        self, *, install_dependencies: bool = False, isolated: Path | None = None
    ) -> ModelReport:
        """Carry out all checks.

        Parameters
        ----------
        install_dependencies : bool
            Build a private environment where the model needs packages that are not here.
        isolated : Path, optional
            An interpreter that has the stated requirements and nothing else.

        Raises
        ------
        ContractError
            If the model breaks its contract or its record; what was expected and found is named.
        DependencyError, GenerationError
            If it cannot be run.
        """
        self._executor.check(install_dependencies=install_dependencies)
        samples, labels = self.samples()
        checks = [self.check_outputs(samples), self.check_seed(samples)]
        checks += [self.check_batch_size(size, samples) for size in BATCH_SIZES]
        checks.append(self.check_card())
        if isolated is not None:
            checks.append(self.check_requirements(isolated))
        return ModelReport(self.record.model_id, SEED, samples, labels, tuple(checks))

    def samples(
        self,
        *,
        batch_size: int | None = None,
        device: str = "cpu",
        num_samples: int | None = None,
        python: Path | None = None,
    ) -> tuple[Samples, tuple[Any, ...]]:
        """Generate the samples of the test, in the form in which they would be kept."""
        request = GenerationRequest(
            num_samples=num_samples or self.num_samples,
            save_images=False,
            seed=SEED,
            device=device,
            batch_size=batch_size,
        )
        executor = self._executor if python is None else self._executor_of(self.record, python)
        batches = list(executor.stream(request))
        names = batches[0].arrays
        samples = {name: np.concatenate([one.arrays[name] for one in batches]) for name in names}
        return samples, tuple(label for one in batches for label in one.labels or ())

    def check_outputs(self, samples: Samples) -> str:
        """Compare outputs, sizes and types with the record."""
        execution = self.record.execution
        given, stated = set(samples), set(execution.output) - {"label", "table"}
        if execution.output and given != stated:
            self._fail(f"the outputs {_listed(stated)} of its record", _listed(given))
        size = execution.image_size[:2]
        image = samples["image"]
        if len(size) == 2 and image.shape[1:3] != tuple(size):
            self._fail(f"images of {_by(size)} pixels", _by(image.shape[1:3]))
        mask = samples.get("mask", image)
        if mask.shape[1:3] != image.shape[1:3]:
            self._fail("a mask as large as the image", _by(mask.shape[1:]))
        if all(one.min() == one.max() for one in image):
            self._fail("images with something in them", "the same value everywhere")
        shown = ", ".join(f"{name} {_by(a.shape[1:])} {a.dtype}" for name, a in samples.items())
        return f"{len(image)} samples on the CPU: {shown}"

    def check_seed(self, samples: Samples) -> str:
        """See that the same seed gives the same samples."""
        again, _ = self.samples()
        for name, array in samples.items():
            if not np.array_equal(array, again[name]):
                self._fail("the same samples for the same seed", f"another {name}")
        return "the same seed gives the same samples"

    def check_batch_size(self, size: int, samples: Samples) -> str:
        """Generate in batches of another size; samples of a sampler package stay what they are."""
        count = max(self.num_samples, size)
        others, _ = self.samples(batch_size=size, num_samples=count)
        if len(others["image"]) != count:
            self._fail(f"{count} samples in batches of {size}", str(len(others["image"])))
        if self.record.execution.contract != "sampler":
            return f"batches of {size}"
        for name, array in samples.items():
            fault = _difference(name, array, others[name][: self.num_samples])
            if fault:
                self._fail(f"the same samples in batches of {size}", fault)
        return f"batches of {size} give the same samples"

    def check_card(self) -> str:
        """Generate on a GPU, where there is one and the model can use it."""
        try:
            self.samples(device="cuda")
        except DeviceError as error:
            return f"not tried on a GPU, as there is only {', '.join(error.available)}"
        return f"{self.num_samples} samples on the GPU"

    def check_requirements(self, python: Path) -> str:
        """Generate with an interpreter that has the stated requirements and nothing else."""
        self.samples(python=python)
        stated = ", ".join(self.record.execution.dependencies) or "nothing"
        return f"runs in an environment of its own with {stated}"

    def _fail(self, expected: str, found: str) -> None:
        raise ContractError(self.record.model_id, expected, found)


def _difference(name: str, one: Array, other: Array) -> str:
    """Return how far two versions of samples are apart, if that is too far."""
    if one.shape != other.shape:
        return f"{name} of another shape"
    if name == "image":
        apart = float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())
        limit = _GREY_LEVELS if one.dtype.kind in "iu" else 1e-4 * max(1.0, float(np.ptp(one)))
        return f"an image that is {apart:g} apart" if apart > limit else ""
    share = float(np.mean(one != other))
    return f"{name} with {share:.2%} of its pixels changed" if share > _MASK_SHARE else ""


def _described(array: Array) -> dict[str, Any]:
    channels = array.shape[-1] if array.ndim > 3 and array.shape[-1] in {2, 3, 4} else 1
    spec: dict[str, Any] = {
        "dtype": array.dtype.name,
        "channels": int(channels),
        "spatial_dims": array.ndim - 1 - (channels > 1),
    }
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        spec["value_range"] = [int(limits.min), int(limits.max)]
    return spec


def _by(sides: Any) -> str:
    return " x ".join(str(side) for side in sides)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
