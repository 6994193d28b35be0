"""What prepare_data.py of the packages says of bad input, and that it leaves nothing half-made."""

from __future__ import annotations

import errno
import gzip
import importlib.util
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from medmint.model_trainer import run_script
from medmint.resources import template_folder

XRAY = ("cgan_chest_xray", "latent_ddpm_chest_xray")


def load_script(package: str) -> Any:
    """Import prepare_data.py from a folder that is on no search path."""
    path = template_folder(package) / "prepare_data.py"
    spec = importlib.util.spec_from_file_location(f"prepare_data_of_{package}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder that output goes to, with nothing else in it."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a call that does what a user's command does."""

    def call(script: Any, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["prepare_data.py", *map(str, arguments)])
        run_script(script.main)

    return call


@pytest.fixture
def refusal(prepare: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a call that gives the one line with which bad input is refused."""

    def call(script: Any, *arguments: object) -> str:
        with pytest.raises(SystemExit) as ended:
            prepare(script, *arguments)
        assert ended.value.code == 2
        # Bars of progress come before it.
        line = capsys.readouterr().err.rstrip("\n").rpartition("prepare_data.py: ")[2]
        assert line
        assert "\n" not in line
        return line

    return call


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def polyps(count: int = 12) -> dict[str, bytes]:
    """Return members of an archive of frames and masks, named as in the public one."""
    random = np.random.default_rng(0)
    members = {}
    for i in range(count):
        small = Image.fromarray(random.integers(60, 200, (5, 6, 3), dtype=np.uint8))
        frame = np.asarray(small.resize((70, 60), Image.Resampling.BICUBIC))
        disc = np.zeros((60, 70), np.uint8)
        disc[20:40, 20 + i : 40 + i] = 255
        members[f"segmented-images/images/frame{i:02}.png"] = png(frame)
        members[f"segmented-images/masks/frame{i:02}.png"] = png(disc)
    return members


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


FRAME, MASK = "segmented-images/images/frame03.png", "segmented-images/masks/frame03.png"
GOOD = polyps()
ALIKE = {name: GOOD[FRAME if "/images/" in name else MASK] for name in GOOD}


class TestPolyps:
    @pytest.fixture
    def script(self) -> Any:
        return load_script("fastgan_polyp")

    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        return write_zip(tmp_path / "frames.zip", GOOD)

    @pytest.mark.parametrize(
        ("members", "told"),
        [
            (GOOD | {FRAME: b"no image"}, "frame03.png: it cannot be read as an image"),
            (GOOD | {FRAME: GOOD[FRAME][:-60]}, "frame03.png: it cannot be read as an image"),
            (GOOD | {MASK: b""}, "masks/frame03.png: it cannot be read as an image"),
            ({name: GOOD[name] for name in GOOD if name != MASK}, "no partner for ['frame03']"),
            ({"readme.txt": b"nothing"}, "no images"),
            (ALIKE, "look alike"),
            ({FRAME: GOOD[FRAME], MASK: GOOD[MASK]}, "too few"),
        ],
    )
    def test_bad_frames_are_named(
        self,
        script: Any,
        refusal: Callable[..., str],
        tmp_path: Path,
        place: Path,
        members: dict[str, bytes],
        told: str,
    ) -> None:
        archive = write_zip(tmp_path / "frames.zip", members)
        assert told in refusal(script, "--archive", archive, "--out", place / "data")
        assert not any(place.iterdir())

    @pytest.mark.parametrize("write", ["missing", "text", "torn", "damaged", "folder"])
    def test_what_is_no_whole_archive_is_named(
        self,
        script: Any,
        refusal: Callable[..., str],
        archive: Path,
        place: Path,
        write: str,
    ) -> None:
        content = bytearray(archive.read_bytes())
        archive.unlink()
        if write == "text":
            archive.write_bytes(b"not a zip")
        elif write == "torn":
            archive.write_bytes(content[: len(content) // 2])
        elif write == "damaged":
            content[len(content) // 2] ^= 255
            archive.write_bytes(content)
        elif write == "folder":
            archive.mkdir()
        line = refusal(script, "--archive", archive, "--out", place / "data")
        assert line.startswith(str(archive))
        assert "cannot be read" in line
        assert not any(place.iterdir())

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (None, "cannot be read"),
            (b"frame\xff", "cannot be read"),
            (b"frame77", "frame77"),
            (" ".join(f"frame{i:02}" for i in range(12)).encode(), "all 12"),
        ],
    )
    def test_bad_lists_of_what_to_leave_out_are_named(
        self,
        script: Any,
        refusal: Callable[..., str],
        archive: Path,
        place: Path,
        content: bytes | None,
        told: str,
    ) -> None:
        listed = archive.with_name("left_out.txt")
        if content is not None:
            listed.write_bytes(content)
        arguments = ("--archive", archive, "--out", place / "data", "--exclude", listed)
        assert told in refusal(script, *arguments)
        assert not any(place.iterdir())

    def test_a_bad_seed_is_named(
        self, script: Any, refusal: Callable[..., str], archive: Path, place: Path
    ) -> None:
        arguments = ("--archive", archive, "--out", place / "data", "--seed", -1)
        assert "--seed" in refusal(script, *arguments)
        assert not any(place.iterdir())

    def test_output_that_cannot_be_is_named(
        self, script: Any, refusal: Callable[..., str], archive: Path, place: Path
    ) -> None:
        own = place / "own.txt"
        own.write_text("mine")
        for out, named in ((own, own), (own / "data", own), (place, place)):
            assert str(named) in refusal(script, "--archive", archive, "--out", out)
        assert [path.name for path in place.iterdir()] == ["own.txt"]
        assert own.read_text() == "mine"

    def test_the_corrected_call_goes_through(
        self,
        script: Any,
        prepare: Callable[..., None],
        refusal: Callable[..., str],
        archive: Path,
        place: Path,
    ) -> None:
        out = place / "data"
        out.mkdir()
        refusal(script, "--archive", archive.with_name("other.zip"), "--out", out)
        prepare(script, "--archive", archive, "--out", out)
        assert len(list((out / "images").iterdir())) == len(GOOD) // 2
        assert [path.name for path in place.iterdir()] == ["data"]


class TestXrays:
    def test_both_packages_have_the_same_script(self) -> None:
        first, second = (template_folder(name) / "prepare_data.py" for name in XRAY)
        assert first.read_bytes() == second.read_bytes()

    @pytest.fixture
    def script(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return the script with a list of two images."""
        module = load_script(XRAY[0])
        rows = {
            name: {"file": name, "label": "x", "patient_id": name[:8], "view": "", "split": "val"}
            for name in ("00000001_000.png", "00000002_000.png")
        }
        monkeypatch.setattr(module, "read_subset", lambda: rows)
        return module

    @pytest.fixture
    def download(self, tmp_path: Path) -> Path:
        """Return a folder with one image as it is and one in an archive."""
        folder = tmp_path / "download"
        folder.mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
        (folder / "00000001_000.png").write_bytes(png(pixels))
        with tarfile.open(folder / "images_001.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo("images/00000002_000.png")
            member.size = len(png(pixels))
            archive.addfile(member, io.BytesIO(png(pixels)))
        return folder

    @pytest.mark.parametrize("write", ["text", "empty", "torn", "damaged", "no tar"])
    def test_a_broken_archive_is_named(
        self,
        script: Any,
        refusal: Callable[..., str],
        download: Path,
        place: Path,
        write: str,
    ) -> None:
        archive = download / "images_001.tar.gz"
        content = archive.read_bytes()
        middle = len(content) // 2
        archive.write_bytes(
            {
                "text": b"no archive",
                "empty": b"",
                "torn": content[:middle],
                "damaged": content[:middle] + b"\xff" * 64 + content[middle + 64 :],
                "no tar": gzip.compress(b"x" * 2_000),
            }[write]
        )
        line = refusal(script, "--download", download, "--out", place / "data")
        # Damage in the midst of an archive shows in the image that it is in.
        image = "/images/00000002_000.png" if write == "damaged" else ""
        assert line.startswith(f"{archive}{image}: it cannot be read")
        assert not any(place.iterdir())

    def test_what_only_looks_like_a_file_is_left_alone(
        self, script: Any, prepare: Callable[..., None], download: Path, place: Path
    ) -> None:
        (download / "a" / "00000001_000.png").mkdir(parents=True)
        (download / "a" / "images_000.tar.gz").mkdir()
        with tarfile.open(download / "a" / "links.tar.gz", "w:gz") as archive:
            link = tarfile.TarInfo("images/00000002_000.png")
            link.type, link.linkname = tarfile.SYMTYPE, "00000002_000.png"
            archive.addfile(link)
        prepare(script, "--download", download, "--out", place / "data")
        assert len(list((place / "data" / "images").iterdir())) == 2

    def test_nothing_stays_of_what_ran_out_of_room(
        self,
        script: Any,
        refusal: Callable[..., str],
        download: Path,
        place: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(script, "write_tables", full)
        line = refusal(script, "--download", download, "--out", place / "data")
        assert "No space left on device" in line
        assert not any(place.iterdir())

    def test_a_folder_with_something_in_it_is_refused_before_anything_is_read(
        self, script: Any, refusal: Callable[..., str], tmp_path: Path, place: Path
    ) -> None:
        (place / "own.txt").write_text("mine")
        line = refusal(script, "--download", tmp_path / "nowhere", "--out", place)
        assert line.startswith(f"Output folder {place}")
        assert [path.name for path in place.iterdir()] == ["own.txt"]


class TestVolumes:
    @pytest.fixture
    def script(self) -> Any:
        return load_script("volume_hippocampus")

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """Return an unpacked archive with two volumes."""
        folder = tmp_path / "Task04_Hippocampus"
        voxels = np.random.default_rng(0).normal(300, 40, (20, 21, 22)).astype(np.float32)
        for part, array in (("imagesTr", voxels), ("labelsTr", np.ones(voxels.shape, np.uint8))):
            (folder / part).mkdir(parents=True)
            for number in (3, 6):
                name = f"hippocampus_{number:03}.nii.gz"
                nibabel.Nifti1Image(array, np.eye(4)).to_filename(folder / part / name)
        return folder

    def test_stray_files_are_left_alone(
        self, script: Any, prepare: Callable[..., None], source: Path, place: Path
    ) -> None:
        (source / "imagesTr" / "hippocampus_001.nii.gz.part").write_bytes(b"half")
        (source / "imagesTr" / "hippocampus_x.nii.gz").write_bytes(b"other")
        (source / "imagesTr" / "hippocampus_007.nii").mkdir()
        prepare(script, "--archive", source, "--out", place / "data")
        with np.load(place / "data" / "volumes.npz") as arrays:
            assert arrays["ids"].tolist() == ["hippocampus_003", "hippocampus_006"]

    @pytest.mark.parametrize("write", ["text", "empty", "torn", "damaged", "no nifti"])
    def test_a_broken_volume_is_named(
        self,
        script: Any,
        refusal: Callable[..., str],
        source: Path,
        place: Path,
        write: str,
    ) -> None:
        path = source / "imagesTr" / "hippocampus_003.nii.gz"
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(
            {
                "text": b"no volume",
                "empty": b"",
                "torn": content[:middle],
                "damaged": content[:middle] + b"\xff" * 64 + content[middle + 64 :],
                "no nifti": gzip.compress(b"x" * 2_000),
            }[write]
        )
        line = refusal(script, "--archive", source, "--out", place / "data")
        assert line.startswith("hippocampus_003.nii.gz: it cannot be read")
        assert not any(place.iterdir())

    def test_a_volume_shorter_than_it_says_is_named(
        self, script: Any, refusal: Callable[..., str], source: Path, place: Path
    ) -> None:
        path = source / "imagesTr" / "hippocampus_003.nii.gz"
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-4]))
        line = refusal(script, "--archive", source, "--out", place / "data")
        assert line.startswith("hippocampus_003.nii.gz: it cannot be read")

    @pytest.mark.parametrize(
        "voxels",
        [
            np.full((20, 21, 22), np.nan, np.float32),
            np.zeros((20, 21, 22), [("R", "u1"), ("G", "u1"), ("B", "u1")]),
            np.zeros((20, 21, 22), np.complex64),
            np.zeros((20, 21, 0), np.float32),
        ],
        ids=["not numbers", "colours", "complex", "empty"],
    )
    def test_voxels_that_are_no_numbers_are_named(
        self,
        script: Any,
        refusal: Callable[..., str],
        source: Path,
        place: Path,
        voxels: np.ndarray,
    ) -> None:
        path = source / "imagesTr" / "hippocampus_003.nii.gz"
        nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(path)
        line = refusal(script, "--archive", source, "--out", place / "data")
        assert line.startswith("hippocampus_003.nii.gz: ")
        assert not any(place.iterdir())

    @pytest.mark.parametrize("compressed", [True, False])
    def test_a_broken_archive_is_named(
        self,
        script: Any,
        refusal: Callable[..., str],
        source: Path,
        place: Path,
        *,
        compressed: bool,
    ) -> None:
        archive = source.with_suffix(".tar")
        with tarfile.open(archive, "w:gz" if compressed else "w") as tar:
            tar.add(source, source.name)
        content = archive.read_bytes()
        for broken in (b"", b"no tar", content[: len(content) // 3]):
            archive.write_bytes(broken)
            line = refusal(script, "--archive", archive, "--out", place / "data")
            assert line.startswith(f"{archive}: it cannot be read")
        assert not any(place.iterdir())

    def test_nothing_stays_of_what_ran_out_of_room(
        self,
        script: Any,
        refusal: Callable[..., str],
        source: Path,
        place: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def torn(path: Path, **_: object) -> None:
            path.write_bytes(b"PK half")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(script.np, "savez_compressed", torn)
        line = refusal(script, "--archive", source, "--out", place / "data")
        assert "No space left on device" in line
        assert not any(place.iterdir())

    def test_a_folder_with_something_in_it_is_refused(
        self, script: Any, refusal: Callable[..., str], source: Path, place: Path
    ) -> None:
        (place / "volumes.npz").write_text("mine")
        assert str(place) in refusal(script, "--archive", source, "--out", place)
        assert (place / "volumes.npz").read_text() == "mine"
