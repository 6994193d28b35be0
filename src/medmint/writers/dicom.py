"""DICOM files, by pydicom: Secondary Capture images that say of themselves that they are synthetic.

A generated picture was acquired by no scanner, so it is no CT or MR image: those would need
acquisition parameters, and inventing them would be false metadata.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from medmint.catalogue.records import ModelRecord, OutputSpec
from medmint.errors import MissingExtraError
from medmint.optional import require
from medmint.samples import Array
from medmint.writers.identity import NAMESPACE, pixel_role, sample_uid, short_name
from medmint.writers.png import encode_png
from medmint.writers.sample_writer import EncodedFile, Sample, is_colour, number_of_sides, refusal
from medmint.writers.segmentation import SegmentationWriter
from medmint.writers.whole_numbers import Storage, WholeNumbers

logger = logging.getLogger(__name__)

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
#: Its multi-frame forms, by samples per pixel and bits.
_MULTI_FRAME = {(1, 8): ".2", (1, 16): ".3", (3, 8): ".4"}
#: Rows and columns are counted in 16 bits.
_LONGEST_SIDE = 65535
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_IMPLEMENTATION = f"2.25.{NAMESPACE.int}"
_PAGE_NUMBER_VECTOR, _SLICE_LOCATION_VECTOR = 0x00182001, 0x00182005
#: What the words of a record are called in DICOM; the first that is found counts.
_MODALITIES = {
    "CT": ("ct", "computed tomography"),
    "MG": ("mmg", "mammography", "mammogram"),
    "MR": ("mri", "mr", "magnetic resonance"),
    "PT": ("pet",),
    "US": ("ultrasound", "us", "echocardiography"),
    "ES": ("endoscopy", "colonoscopy"),
    "OP": ("fundus photography", "fundus"),
    "OPT": ("oct", "optical coherence tomography"),
    "SM": ("histopathology", "microscopy"),
    "DX": ("x-ray", "xray", "cxr", "radiograph", "radiography"),
}


class DicomWriter:
    """A DICOM file for each output: pictures as Secondary Capture, volumes as its multi-frame form.

    Masks are DICOM segmentations where highdicom is installed, else PNG files.

    Raises
    ------
    MissingExtraError
        If pydicom is not installed, or highdicom is not for a model with masks of volumes.
    ArgumentError
        If an output of the model is real and without a range, or has colours of 16 bits.
    """

    def __init__(self, record: ModelRecord) -> None:
        self._pydicom = require("pydicom", extra="dicom")
        self._record = record
        self._numbers = WholeNumbers(record, "dicom", channels=(1, 3), volumes=True)
        self._masks = _mask_writer(self._numbers.specs)

    def header(self) -> dict[str, Any]:
        """Return offsets and scales, which are also in each file, and the format of masks."""
        header = self._numbers.header()
        if "mask" in self._numbers.specs or not self._numbers.specs:
            header["mask_format"] = "seg" if self._masks else "png"
        return header

    def encode(self, sample: Sample) -> Iterator[EncodedFile]:
        """Yield a file for each output."""
        image = self._image(sample, "image", sample.arrays["image"])
        for name, array in sample.arrays.items():
            if name != "mask":
                one = image if name == "image" else self._image(sample, name, array)
                yield EncodedFile((name,), ".dcm", self._bytes_of(one))
            elif self._masks is not None:
                mask = self._masks.dataset(sample, image, array)
                mask.InstanceNumber = _number(sample, name)
                yield EncodedFile((name,), ".dcm", self._bytes_of(mask))
            elif array.ndim == 2:
                yield EncodedFile((name,), ".png", encode_png(self._numbers.store(name, array)))
            else:
                raise MissingExtraError("highdicom", "seg")

    def _image(self, sample: Sample, name: str, array: Array) -> Any:
        """Return an image as a data set."""
        spec = self._numbers.specs.get(name)
        stored = self._numbers.store(name, array)
        storage = self._numbers.storage(name, array)
        if max(array.shape[:2]) > _LONGEST_SIDE:
            raise refusal("dicom", "npy", name, f"has a side of more than {_LONGEST_SIDE} pixels")
        is_volume = number_of_sides(array, spec) == 3
        dataset = self._pydicom.Dataset()
        dataset.file_meta = self._pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = _EXPLICIT_LITTLE_ENDIAN
        _add_subject(dataset, sample)
        _add_origin(dataset, sample, self._record)
        pixels = np.ascontiguousarray(np.moveaxis(stored, 2, 0) if is_volume else stored)
        dataset.SOPInstanceUID = sample_uid(sample, pixel_role(name, pixels.tobytes()))
        dataset.InstanceNumber = _number(sample, name)
        colours = "RGB" if is_colour(array, spec) else "MONOCHROME2"
        dataset.set_pixel_data(pixels, colours, storage.bits, generate_instance_uid=False)
        dataset.SOPClassUID = _SECONDARY_CAPTURE
        if is_volume:
            dataset.SOPClassUID += _MULTI_FRAME[dataset.SamplesPerPixel, storage.bits]
            # A mask's place is given in the space of its image.
            dataset.FrameOfReferenceUID = sample_uid(sample, "space")
            dataset.PositionReferenceIndicator = ""
        if dataset.SamplesPerPixel == 1:
            _add_values(dataset, storage, spec, array)
        _add_geometry(dataset, spec, array.shape[2] if is_volume else None)
        may_show_text = None if spec is None else spec.burned_in_text
        if may_show_text is not None or is_volume:
            # The multi-frame form must say it: what is not ruled out is possible.
            dataset.BurnedInAnnotation = "NO" if may_show_text is False else "YES"
        return dataset

    def _bytes_of(self, dataset: Any) -> bytes:
        dataset.SyntheticData = "YES"
        dataset.ContentQualification = "RESEARCH"
        # Those of the library that wrote it would change with its version.
        dataset.file_meta.ImplementationClassUID = _IMPLEMENTATION
        dataset.file_meta.ImplementationVersionName = "MEDMINT"
        buffer = io.BytesIO()
        self._pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
        return buffer.getvalue()


def _mask_writer(specs: Mapping[str, OutputSpec]) -> SegmentationWriter | None:
    """Return what writes segmentations, None where masks have to be PNG files instead."""
    mask = specs.get("mask")
    try:
        return SegmentationWriter(specs.get("image"), mask)
    except MissingExtraError as error:
        if mask is not None and mask.spatial_dims == 3:
            raise
        if mask is not None:
            logger.warning("Masks are written as PNG, not as DICOM segmentations: %s", error)
        return None


def _number(sample: Sample, name: str) -> int:
    """Return the place of an output among those of its sample, from 1 on."""
    return 1 + list(sample.arrays).index(name)


def _add_subject(dataset: Any, sample: Sample) -> None:
    """Add a patient, a study and a series that nobody else has, without a date."""
    run = sample.run
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"SYNTHETIC^{run['model_id'][:5]}-{run['seed']}-{sample.index}"
    dataset.PatientID = f"SYNTH-{short_name(sample, 'patient')}"
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyInstanceUID = sample_uid(sample, "study")
    dataset.SeriesInstanceUID = sample_uid(sample, "series")
    dataset.StudyDate = dataset.StudyTime = dataset.StudyID = ""
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.SeriesNumber = 1
    # Of what may be one of a pair, the side is not known.
    dataset.Laterality = ""


def _add_origin(dataset: Any, sample: Sample, record: ModelRecord) -> None:
    """Say what made the image, and what kind of image it imitates."""
    run = sample.run
    words = [str(word).lower() for word in record.selection.get("modality") or ()]
    found = (code for code, names in _MODALITIES.items() if set(names) & set(words))
    dataset.Modality = next(found, "OT")
    dataset.Manufacturer = "medmint"
    dataset.ManufacturerModelName = run["model_id"][:64]
    dataset.DeviceSerialNumber = run["package_sha256"][:64]
    dataset.SoftwareVersions = f"medmint {run['medmint_version']}"
    dataset.ConversionType = "SYN"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    version = record.description.get("version")
    dois = ", ".join(map(str, record.description.get("doi") or ()))
    facts = {
        "model": run["model_id"],
        "version": version,
        "DOI": dois,
        "package sha256": run["package_sha256"],
        "weights sha256": run.get("weights_sha256"),
        "seed": run["seed"],
        "sample": sample.index,
    }
    listed = "; ".join(f"{name} {fact}" for name, fact in facts.items() if fact not in (None, ""))
    dataset.DerivationDescription = f"Synthetic, made by medmint: {listed}"[:1024]
    dataset.LossyImageCompression = "00"


def _add_values(dataset: Any, storage: Storage, spec: OutputSpec | None, array: Array) -> None:
    """Say what the stored grey values stand for, and which of them a screen should show."""
    if (storage.offset, storage.scale) != (0, 1) or dataset.SOPClassUID != _SECONDARY_CAPTURE:
        unit = spec.unit if spec is not None and spec.unit in ("HU", "OD") else "US"
        dataset.RescaleIntercept = _decimal(storage.offset)
        dataset.RescaleSlope = _decimal(storage.scale)
        dataset.RescaleType = unit
    if dataset.SOPClassUID != _SECONDARY_CAPTURE:
        dataset.PresentationLUTShape = "IDENTITY"
    if storage.bits == 8:
        return
    window = spec.window if spec is not None else None
    low, high = window or (float(array.min()), float(array.max()))
    if array.dtype.kind == "f":
        dataset.VOILUTFunction = "LINEAR_EXACT"
        centre, width = (low + high) / 2, max(high - low, storage.scale)
    else:
        # PS3.3 C.11.2.1.2: from centre - 0.5 - (width - 1) / 2 to centre - 0.5 + (width - 1) / 2.
        centre, width = (low + high + 1) / 2, high - low + 1
    dataset.WindowCenter, dataset.WindowWidth = _decimal(centre), _decimal(width)


def _add_geometry(dataset: Any, spec: OutputSpec | None, frames: int | None) -> None:
    """Say how far pixels are apart and where the axes lead, as far as the record knows."""
    spacing = spec.spacing_mm if spec is not None else None
    orientation = spec.orientation if spec is not None else None
    ends = orientation.replace("S", "H").replace("I", "F") if orientation else ""
    # DICOM names the direction of a row first: that in which columns follow each other.
    dataset.PatientOrientation = [ends[1], ends[0]] if ends else ""
    if spacing:
        dataset.PixelSpacing = [_decimal(distance) for distance in spacing[:2]]
    if frames is None:
        return
    if spacing and len(spacing) == 3:
        dataset.FrameIncrementPointer = _SLICE_LOCATION_VECTOR
        dataset.SliceLocationVector = [_decimal(i * spacing[2]) for i in range(frames)]
    else:
        dataset.FrameIncrementPointer = _PAGE_NUMBER_VECTOR
        dataset.PageNumberVector = list(range(1, frames + 1))


def _decimal(number: float) -> str:
    """Write a number as DICOM has them: 16 characters at the most."""
    return f"{number:.10g}"
