"""Masks as DICOM segmentations, by highdicom."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import numpy as np

from medmint.catalogue.records import OutputSpec
from medmint.optional import require
from medmint.samples import Array
from medmint.writers.geometry import affine_of
from medmint.writers.identity import pixel_role, sample_uid
from medmint.writers.sample_writer import Sample, refusal

#: Segmentations must have a date. This one stands for none, and is the same in each run.
_NO_DATE, _NO_TIME = datetime.date(1900, 1, 1), datetime.time(0, 0)
#: NIfTI counts to the right and anterior, DICOM to the left and posterior.
_TO_DICOM = np.diag([-1.0, -1.0, 1.0, 1.0])


class SegmentationWriter:
    """Writes masks of one model as segmentations of the images that they belong to.

    Parameters
    ----------
    image, mask : OutputSpec or None
        What the record says about both.

    Raises
    ------
    MissingExtraError
        If highdicom is not installed.
    ArgumentError
        If masks are volumes whose spacing is not known: a segmentation has to give it.
    """

    def __init__(self, image: OutputSpec | None, mask: OutputSpec | None) -> None:
        self._highdicom = require("highdicom", extra="seg")
        self._image, self._mask = image, mask
        if mask is not None and mask.spatial_dims == 3:
            self._spacing()

    def dataset(self, sample: Sample, image: Any, array: Array) -> Any:
        """Return the segmentation of an image.

        Parameters
        ----------
        sample : Sample
            The sample that both belong to.
        image : pydicom.Dataset
            The image; patient, study and series are taken from it.
        array : ndarray of uint8 or uint16, shape (H, W) or (H, W, D)
            0 where nothing is; every other value becomes a segment.

        Returns
        -------
        pydicom.Dataset
        """
        _check(array, image)
        values = self._values(array)
        labels = np.searchsorted([0, *values], array).astype(np.uint16)
        is_volume = array.ndim == 3
        source = self._placed(image, array) if is_volume else image
        made = self._highdicom.seg.Segmentation(
            source_images=[source],
            pixel_array=np.moveaxis(labels, 2, 0) if is_volume else labels,
            segmentation_type="BINARY",
            segment_descriptions=[
                self._segment(number, value, sample) for number, value in enumerate(values, start=1)
            ],
            series_instance_uid=image.SeriesInstanceUID,
            series_number=image.SeriesNumber,
            sop_instance_uid=sample_uid(sample, pixel_role("mask", array.tobytes())),
            instance_number=1,
            manufacturer=image.Manufacturer,
            manufacturer_model_name=image.ManufacturerModelName,
            software_versions=image.SoftwareVersions,
            device_serial_number=image.DeviceSerialNumber,
            transfer_syntax_uid=image.file_meta.TransferSyntaxUID,
            omit_empty_frames=False,
            content_label="MASK",
            content_date=_NO_DATE,
            content_time=_NO_TIME,
        )
        if not is_volume:
            made.PatientOrientation = image.PatientOrientation
        return _without_chance(made, sample)

    def _values(self, array: Array) -> list[int]:
        """Return the values that stand for segments: those of the record, else those in use."""
        named = self._mask.values if self._mask is not None else {}
        known = {int(value) for value in named if value.isdecimal()}
        found = {int(value) for value in np.unique(array)}
        return sorted((known | found) - {0}) or [1]

    def _segment(self, number: int, value: int, sample: Sample) -> Any:
        """Describe a segment in the record's words; there are no standard codes for them."""
        highdicom = self._highdicom
        named = self._mask.values if self._mask is not None else {}
        label = (named.get(str(value)) or f"value {value}")[:64]
        concept = highdicom.sr.CodedConcept
        return highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=concept(
                "309825002", "SCT", "Spatial and Relational Concept"
            ),
            segmented_property_type=concept(f"VALUE-{value}", "99MEDMINT", label),
            algorithm_type="AUTOMATIC",
            algorithm_identification=highdicom.AlgorithmIdentificationSequence(
                name=sample.run["model_id"][:64],
                version=sample.run["package_sha256"][:16],
                family=concept("123110", "DCM", "Artificial Intelligence"),
            ),
        )

    def _placed(self, image: Any, array: Array) -> Any:
        """Return the image with the place of each frame, from which highdicom takes it."""
        spacing = self._spacing()
        # Where the record does not know them, the directions are those of an axial scan.
        orientation = self._known("orientation") or "PLS"
        down, right, through = (_TO_DICOM @ affine_of(spacing, orientation))[:3, :3].T
        highdicom = self._highdicom
        placed = copy.copy(image)
        shared, frames = type(image)(), []
        shared.PixelMeasuresSequence = highdicom.PixelMeasuresSequence(
            pixel_spacing=spacing[:2], slice_thickness=spacing[2]
        )
        shared.PlaneOrientationSequence = highdicom.PlaneOrientationSequence(
            "PATIENT", [*right / spacing[1], *down / spacing[0]]
        )
        for position in range(array.shape[2]):
            frame = type(image)()
            frame.PlanePositionSequence = highdicom.PlanePositionSequence(
                "PATIENT", list(through * position)
            )
            frames.append(frame)
        placed.SharedFunctionalGroupsSequence = [shared]
        placed.PerFrameFunctionalGroupsSequence = frames
        return placed

    def _spacing(self) -> tuple[float, float, float]:
        spacing = self._known("spacing_mm")
        if spacing is None or len(spacing) != 3:
            reason = "is a volume, and the model's record gives no spacing_mm of three axes for it"
            raise refusal("dicom", "nifti or npy", "mask", reason)
        first, second, third = spacing
        return first, second, third

    def _known(self, field: str) -> Any:
        return getattr(self._mask, field, None) or getattr(self._image, field, None)


def _without_chance(dataset: Any, sample: Sample) -> Any:
    """Take out what comes from the clock or is not known, and replace what is drawn by chance."""
    del dataset.InstanceCreationDate, dataset.InstanceCreationTime
    del dataset.ContributingEquipmentSequence
    for segment in dataset.SegmentSequence:
        # Demanded by highdicom alone; it would call every model an artificial intelligence.
        del segment.SegmentationAlgorithmIdentificationSequence
    organization = sample_uid(sample, "dimensions")
    items = [*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence]
    for item in items:
        item.DimensionOrganizationUID = organization
    return dataset


def _check(array: Array, image: Any) -> None:
    """Refuse what is no label map of the image."""
    frames = (image.NumberOfFrames,) if "NumberOfFrames" in image else ()
    shape = (image.Rows, image.Columns, *frames)
    if array.shape != shape or array.dtype not in (np.uint8, np.uint16):
        reason = f"is of type {array.dtype} and shape {array.shape}, and its image of shape {shape}"
        raise refusal("dicom", "npy", "mask", reason)
