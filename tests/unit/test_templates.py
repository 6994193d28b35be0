"""What the reference packages promise, imported from their folders as a worker does."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from safetensors.torch import save_file

from medmint.resources import config_file, template_folder

LEARNT = ("fastgan_polyp", "latent_ddpm_chest_xray", "cgan_chest_xray", "volume_hippocampus")
REFERENCES = ("phantom_ct_head", *LEARNT)
PACKAGES = (*REFERENCES, "minimal", "minimal_generate")
WITH_SAMPLER = ("phantom_ct_head", "fastgan_polyp", "minimal")


def load_module(folder: Path, file: str = "__init__.py") -> Any:
    """Import a package, or one script of it, from a folder that is on no search path."""
    name = f"reference_{folder.name}_{Path(file).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / file, submodule_search_locations=[str(folder)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def record(name: str) -> dict[str, Any]:
    """Return the one catalogue record of a package."""
    (value,) = json.loads((template_folder(name) / "metadata.json").read_text()).values()
    return value


def latent_size(name: str) -> int:
    size: int = record(name)["execution"]["generate_method"]["input_latent_vector_size"]
    return size


def draw_latents(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


@pytest.fixture(scope="module")
def polyp_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights for 64 x 64 pixels, in the form that train.py writes."""
    package = load_module(template_folder("fastgan_polyp"))
    torch.manual_seed(0)
    widths = [8, 8, 16, 16]
    networks = {
        "generator": package.Generator(4, 8),
        "autoencoder": package.Autoencoder(4, widths),
    }
    state = torch.nn.ModuleDict(networks).state_dict()
    facts = {"size": 64, "channels": 4, "autoencoder_widths": widths, "sharpening": 0.1}
    path = tmp_path_factory.mktemp("polyp") / "weights.safetensors"
    half = {name: tensor.half().contiguous() for name, tensor in state.items()}
    save_file(half, path, metadata={"facts": json.dumps(facts)})
    return path


@pytest.fixture(params=WITH_SAMPLER)
def named_sampler(request: pytest.FixtureRequest, polyp_weights: Path) -> tuple[str, Any]:
    weights = str(polyp_weights) if request.param == "fastgan_polyp" else None
    return request.param, load_module(template_folder(request.param)).load(weights, "cpu")


@pytest.fixture(scope="module")
def phantom() -> Any:
    return load_module(template_folder("phantom_ct_head"))


@pytest.fixture(scope="module")
def sampler(phantom: Any) -> Any:
    return phantom.load(None, "cpu")


latent_vectors = arrays(np.float32, 32, elements=st.floats(-4, 4, width=32))


class TestEveryPackage:
    @pytest.mark.parametrize("name", PACKAGES)
    def test_is_complete(self, name: str) -> None:
        files = {path.name for path in template_folder(name).iterdir()}
        texts = {"metadata.json", "requirements.txt", "test.sh", "LICENSE", "MODEL_CARD.md"}
        assert texts | {"__init__.py"} <= files

    @pytest.mark.parametrize("name", LEARNT)
    def test_card_is_of_the_weights(self, name: str) -> None:
        folder = template_folder(name)
        numbers = json.loads((folder / "numbers.json").read_text())
        digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
        assert numbers["subject"]["weights_sha256"] == digest
        assert numbers["subject"]["split"] == "test"
        assert {"fidelity", "copying", "speed"} <= numbers["sections"].keys()
        goals = {
            goal["text"]: goal["is_met"]
            for section in ("fidelity", "copying")
            for goal in numbers["sections"][section]["goals"]
        }
        # What must hold of a model that is shipped, whatever else its card says.
        assert goals["at most 2% of the samples near in pixels"]
        assert goals["membership AUC at most 0.60 by its lower bound"]
        assert goals["coverage above the Gaussian's, by the lower bound of the difference"]

    @pytest.mark.parametrize("name", PACKAGES)
    def test_record_follows_the_schema(self, name: str) -> None:
        metadata = json.loads((template_folder(name) / "metadata.json").read_text())
        jsonschema.validate(metadata, json.loads(config_file("schema.json").read_text()))

    @pytest.mark.parametrize("name", PACKAGES)
    def test_record_names_the_requirements_of_the_package(self, name: str) -> None:
        lines = (template_folder(name) / "requirements.txt").read_text().split()
        assert lines == record(name)["execution"]["dependencies"]

    def test_gives_what_its_record_says(self, named_sampler: tuple[str, Any]) -> None:
        name, sampler = named_sampler
        output = record(name)["execution"]["output"]
        samples = sampler.sample(draw_latents(3, latent_size(name)))
        assert samples.keys() == output.keys()
        for key, promised in output.items():
            # Floats in [0, 1] are stored in the type and range of the record.
            is_float = samples[key].dtype == np.float32
            low, high = (0, 1) if is_float else promised["value_range"]
            assert is_float or samples[key].dtype == promised["dtype"]
            assert samples[key].shape[:2] == (3, promised["channels"])
            assert samples[key].ndim == promised["spatial_dims"] + 2
            assert low <= samples[key].min() <= samples[key].max() <= high

    def test_sample_does_not_depend_on_its_batch(self, named_sampler: tuple[str, Any]) -> None:
        name, sampler = named_sampler
        latents = draw_latents(5, latent_size(name))
        together = sampler.sample(latents)
        for i in range(len(latents)):
            alone = sampler.sample(latents[i : i + 1])
            for key, values in together.items():
                if name == "fastgan_polyp" and key == "image":  # convolutions round by batch size
                    np.testing.assert_allclose(alone[key][0], values[i], atol=1 / 255)
                elif name == "fastgan_polyp":
                    assert np.mean(alone[key][0] != values[i]) <= 0.001
                else:
                    np.testing.assert_array_equal(alone[key][0], values[i])

    def test_options_of_the_record_are_taken(self, named_sampler: tuple[str, Any]) -> None:
        name, sampler = named_sampler
        options = record(name)["execution"]["generate_method"]["args"]["custom"]
        latents = draw_latents(1, latent_size(name))
        named = sampler.sample(latents, **options)
        for key, values in sampler.sample(latents).items():
            np.testing.assert_array_equal(named[key], values)


class TestPhantom:
    def test_two_samplers_agree(self, phantom: Any, sampler: Any) -> None:
        latents = draw_latents(2, phantom.LATENT_SIZE)
        for key, values in sampler.sample(latents).items():
            np.testing.assert_array_equal(phantom.load().sample(latents)[key], values)

    @settings(deadline=None, max_examples=60)
    @given(latent=latent_vectors)
    def test_lesion_is_there_and_in_the_brain(self, sampler: Any, latent: np.ndarray) -> None:
        sample = sampler.sample(latent[None], noise=0)
        lesion = sample["mask"][0, 0] == 255
        assert lesion.sum() >= 30
        assert set(np.unique(sample["mask"])) == {0, 255}
        inside = sample["image"][0, 0][lesion]
        # Neither air (-1000) nor bone (750 and more), not even a tenth of a pixel of them.
        assert inside.min() > -70
        assert inside.max() < 120

    @settings(deadline=None, max_examples=60)
    @given(latent=latent_vectors)
    def test_mask_is_where_the_lesion_shows(self, phantom: Any, latent: np.ndarray) -> None:
        brighter, darker = phantom.parameters(latent), phantom.parameters(latent)
        brighter.lesion_hu, darker.lesion_hu = 1.0, -1.0
        flat = np.zeros((256, 256), np.float32)
        with_brighter, mask = phantom.draw(brighter, flat)
        with_darker, same_mask = phantom.draw(darker, flat)
        share = (with_brighter - with_darker) / (50 + 22)
        np.testing.assert_array_equal(mask, same_mask)
        assert share[mask].min() > 0.499
        assert share[~mask].max() < 0.501

    def test_lesion_stands_out_from_its_surroundings(self, phantom: Any, sampler: Any) -> None:
        contrast = load_module(template_folder("phantom_ct_head"), "measure.py").contrast
        samples = sampler.sample(draw_latents(100, phantom.LATENT_SIZE))
        pairs = zip(samples["image"][:, 0], samples["mask"][:, 0] > 0, strict=True)
        contrasts = np.array([contrast(image, lesion) for image, lesion in pairs])
        assert np.abs(contrasts).min() > 4
        assert 30 < np.count_nonzero(contrasts > 0) < 70

    def test_noise_has_the_deviation_asked_for(self, phantom: Any, sampler: Any) -> None:
        latents = draw_latents(4, phantom.LATENT_SIZE)
        clean = sampler.sample(latents, noise=0)["image"].astype(float)
        for deviation in (4.0, 8.0):
            noise = sampler.sample(latents, noise=deviation)["image"] - clean
            body = noise[clean > -500]  # air is cut at -1024
            assert body.std() == pytest.approx(deviation, rel=0.05)
            assert abs(body.mean()) < deviation / 20

    def test_noise_of_two_samples_is_unrelated(self, phantom: Any, sampler: Any) -> None:
        latents = draw_latents(6, phantom.LATENT_SIZE)
        noise = sampler.sample(latents)["image"] - sampler.sample(latents, noise=0)["image"]
        centre = noise[:, 0, 64:192, 64:192].reshape(6, -1).astype(float)
        related = np.corrcoef(centre) - np.eye(6)
        assert np.abs(related).max() < 0.06

    def test_small_step_is_a_small_change(self, phantom: Any, sampler: Any) -> None:
        latents = draw_latents(8, phantom.LATENT_SIZE)
        before = sampler.sample(latents)["image"].astype(float)
        after = sampler.sample(latents + np.float32(1e-4))["image"].astype(float)
        assert np.abs(after - before).mean() < 0.2

    def test_looks_like_a_head(self, phantom: Any, sampler: Any) -> None:
        images = sampler.sample(draw_latents(20, phantom.LATENT_SIZE), noise=0)["image"][:, 0]
        assert (images[:, [0, -1]] == -1000).all()
        assert (images[:, :, [0, -1]] == -1000).all()
        bone = (images > 500).mean(axis=(1, 2))
        soft = ((images > 0) & (images < 100)).mean(axis=(1, 2))
        assert ((bone > 0.03) & (bone < 0.15)).all()
        assert ((soft > 0.2) & (soft < 0.6)).all()

    @pytest.mark.parametrize(
        ("latents", "options", "named"),
        [
            (np.zeros((1, 31), np.float32), {}, "latents"),
            (np.zeros(32, np.float32), {}, "latents"),
            (np.zeros((1, 32), np.float32), {"noise": -1.0}, "noise"),
            (np.zeros((1, 32), np.float32), {"noise": float("nan")}, "noise"),
            (np.zeros((1, 32), np.float32), {"condition": np.zeros(1, np.int64)}, "condition"),
        ],
    )
    def test_refuses_what_it_cannot_draw(
        self, sampler: Any, latents: np.ndarray, options: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(ValueError, match=f"^{named}: "):
            sampler.sample(latents, **options)


class TestMinimal:
    def test_weights_are_those_of_the_script(self) -> None:
        folder = template_folder("minimal")
        made = load_module(folder, "make_weights.py").patterns()
        np.testing.assert_array_equal(load_module(folder).load().patterns, made.astype(np.float32))

    def test_contrast_steepens_the_image(self) -> None:
        sampler = load_module(template_folder("minimal")).load()
        latents = draw_latents(3, 8)
        plain, steep = (sampler.sample(latents, contrast=c)["image"] for c in (1.0, 3.0))
        assert (np.abs(steep - 0.5) >= np.abs(plain - 0.5) - 1e-6).all()


class TestMinimalGenerate:
    folder = template_folder("minimal_generate")

    def test_weights_are_those_of_the_script(self) -> None:
        stored = torch.load(self.folder / "weights.pt", weights_only=True)["patterns"]
        made = load_module(self.folder, "make_weights.py").patterns()
        torch.testing.assert_close(stored, made)

    def test_returns_images_and_writes_none(self, tmp_path: Path) -> None:
        generate = load_module(self.folder).generate
        images = generate(str(self.folder / "weights.pt"), 3, str(tmp_path / "out"), False)
        assert [(image.shape, image.dtype) for image in images] == [((32, 32), np.uint8)] * 3
        assert not (tmp_path / "out").exists()

    def test_writes_the_images_it_would_return(self, tmp_path: Path) -> None:
        generate = load_module(self.folder).generate
        weights = str(self.folder / "weights.pt")
        torch.manual_seed(1)
        returned = generate(weights, 2, str(tmp_path), save_images=False, contrast=2.0)
        torch.manual_seed(1)
        assert generate(weights, 2, str(tmp_path), save_images=True, contrast=2.0) is None
        written = [read_image(tmp_path / f"{i}.png") for i in range(2)]
        np.testing.assert_array_equal(written, returned)


class TestPolyp:
    def test_half_precision_weights_become_float32(self, polyp_weights: Path) -> None:
        sampler = load_module(template_folder("fastgan_polyp")).load(str(polyp_weights), "cpu")
        assert {p.dtype for p in sampler.generator.parameters()} == {torch.float32}
        assert not sampler.generator.training
        assert set(np.unique(sampler.sample(draw_latents(2, 128))["mask"])) <= {0, 255}

    def test_text_is_painted_over_and_the_rest_is_kept(self) -> None:
        prepare = load_module(template_folder("fastgan_polyp"), "prepare_data.py")
        frame = np.full((352, 352, 3), (150, 90, 80), np.uint8)
        written = frame.copy()
        written[40:60, 20:22] = written[40:42, 20:32] = 255
        painted = prepare.paint_over(written, prepare.find_strokes(written))
        np.testing.assert_array_equal(painted, frame)

    def test_broad_highlights_and_the_middle_are_left_alone(self) -> None:
        prepare = load_module(template_folder("fastgan_polyp"), "prepare_data.py")
        frame = np.full((352, 352, 3), 90, np.uint8)
        frame[100:140, 20:60] = 255
        frame[200:220, 180:182] = 255
        assert not prepare.find_strokes(frame).any()

    def test_split_keeps_groups_together_and_its_shares(self) -> None:
        prepare = load_module(template_folder("fastgan_polyp"), "prepare_data.py")
        groups = np.random.default_rng(0).integers(0, 300, 500)
        groups = np.unique(groups, return_inverse=True)[1]
        sides = np.array(prepare.split_groups(groups, seed=1))
        assert all(len(set(sides[groups == group])) == 1 for group in range(groups.max() + 1))
        assert abs(np.mean(sides == "test") - 0.2) < 0.02
        assert abs(np.mean(sides == "val") - 0.12) < 0.02

    def test_archive_becomes_a_training_folder(self, tmp_path: Path) -> None:
        archive, out = tmp_path / "frames.zip", tmp_path / "data"
        write_archive(archive, count=20)
        left_out = tmp_path / "left_out.txt"
        left_out.write_text("frame03\n")
        run_script("prepare_data.py", "--archive", archive, "--out", out, "--exclude", left_out)
        with (out / "labels.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["source"] for row in rows] == [f"frame{i:02d}" for i in range(20) if i != 3]
        splits = [(out / f"split_{side}.txt").read_text() for side in ("train", "val", "test")]
        assert sorted("".join(splits).split()) == [row["file"] for row in rows]
        for row in rows:
            assert read_image(out / "images" / row["file"]).shape == (128, 128, 3)
            mask = read_image(out / "masks" / row["file"])
            assert mask.shape == (128, 128)
            assert set(np.unique(mask)) == {0, 255}

    @pytest.mark.slow
    def test_evaluation_tells_real_from_untrained(
        self, tmp_path: Path, polyp_weights: Path
    ) -> None:
        archive, data, out = (tmp_path / name for name in ("frames.zip", "data", "judged"))
        write_archive(archive, count=280)
        run_script("prepare_data.py", "--archive", archive, "--out", data)
        options = ["--weights", polyp_weights, "--split", "val", "--draws", "2"]
        run_script("evaluate.py", "--data", data, "--only", "fidelity", "--out", out, *options)
        (section,) = json.loads((out / "numbers.json").read_text())["sections"].values()
        goals = [goal["is_met"] for goal in section["goals"]]
        assert goals
        assert not any(goals)
        assert read_image(out / "samples.png").shape[2] == 3

    def test_sharpening_leaves_masks_and_flat_colours_alone(self) -> None:
        package = load_module(template_folder("fastgan_polyp"))
        random = torch.Generator().manual_seed(0)
        pairs = torch.rand(2, 4, 16, 16, generator=random) - 0.5
        sharp = package.sharpen(pairs, 0.1)
        assert torch.equal(sharp[:, 3:], pairs[:, 3:])
        assert sharp[:, :3].std() > pairs[:, :3].std()
        flat = torch.full((1, 4, 16, 16), 0.3)
        assert torch.allclose(package.sharpen(flat, 0.1), flat, atol=1e-6)
        assert torch.equal(package.sharpen(pairs, 0.0), pairs)


def read_image(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def write_archive(path: Path, count: int) -> None:
    """Write frames of smooth colours with a disc, named as in the public archive."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:120, :140]
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            small = generator.integers(60, 200, (5, 6, 3), dtype=np.uint8)
            frame = Image.fromarray(small).resize((140, 120), Image.Resampling.BICUBIC)
            y, x, radius = generator.integers((30, 30, 8), (90, 110, 28))
            disc = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype(np.uint8) * 255
            for kind, image in (("images", frame), ("masks", Image.fromarray(disc))):
                content = io.BytesIO()
                image.save(content, "JPEG", quality=95)
                archive.writestr(f"segmented-images/{kind}/frame{i:02d}.jpg", content.getvalue())


def run_script(name: str, *arguments: object) -> str:
    """Run a script of the polyp package as a user does, and return what it printed."""
    script = template_folder("fastgan_polyp") / name
    source = Path(__file__).resolve().parents[2] / "src"
    finished = subprocess.run(
        [sys.executable, "-B", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("folder", REFERENCES)
def test_catalogue_says_of_a_reference_model_what_its_package_says(folder):
    text = (template_folder(folder) / "metadata.json").read_text(encoding="utf-8")
    ((model_id, record),) = json.loads(text).items()
    catalogue = json.loads(config_file("global.json").read_text(encoding="utf-8"))
    assert catalogue[model_id] == record
