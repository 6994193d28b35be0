"""Looking at a model: the real figure, its real controls and what then reaches the model."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from medmint import Generators
from medmint.cli.main import main
from medmint.errors import ArgumentError, ContractError, WriterError
from medmint.generation_request import GenerationRequest
from medmint.model_visualizer import ModelVisualizer
from medmint.model_visualizer.explorer import Explorer
from medmint.model_visualizer.window import Window
from medmint.samples import latent_vectors
from medmint.settings import Settings
from tests.fakes import published
from tests.fakes.zenodo import Zenodo
from tests.packages.builders import catalogue_of, write_package
from tests.packages.looking import CLASSES, looking_package

POLYPS, SEED = 10002, 7


class Canvas(FigureCanvasAgg):
    """Draws when it is asked to, as those of windows do when they are idle."""

    def draw_idle(self):
        pass


@pytest.fixture(scope="module")
def generators():
    with Generators() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("look")


@pytest.fixture(scope="module")
def package(folder):
    """A package with classes and a latent vector of 128 that its samples carry."""
    return looking_package(folder, conditions=True)


@pytest.fixture
def look(generators, package, tmp_path):
    """Open a window without a display; it is closed with the test."""
    opened = []

    def opening(slider_grouper=10, *, model=None, inside=None, **arguments):
        arguments = {"seed": SEED, "package": inside or package} | arguments
        if model is not None:
            arguments.pop("package")
        request = GenerationRequest.of(**arguments)
        source = generators if inside is None or model is None else inside
        visualizer = ModelVisualizer(source._executor(model, request.package))
        explorer = visualizer.explorer(request, slider_grouper=slider_grouper)
        explorer.begin()
        figure = Figure()
        Canvas(figure)
        opened.append(Window(explorer, figure, folder=tmp_path / "saved"))
        figure.canvas.draw()
        return opened[-1]

    yield opening
    for window in opened:
        window.close()


def reached(window):
    """Return the latent vector that reached the model for the picture that is shown."""
    assert window.finish()
    table = window.explorer.drawn.batch.table
    return np.array([table[f"z{i}"][0] for i in range(len(table))], dtype=np.float32)


def click(window, name):
    """Press and release the mouse on a control, as a user does."""
    axes = getattr(window.controls[name], "ax", None) or window.controls[name]
    at(window, axes, 0.5)


def at(window, axes, fraction):
    box = axes.get_window_extent()
    x, y = box.x0 + fraction * box.width, (box.y0 + box.y1) / 2
    for event in ("button_press_event", "button_release_event"):
        canvas = window.figure.canvas
        canvas.callbacks.process(event, MouseEvent(event, canvas, x, y, MouseButton.LEFT))


def sliders(window):
    """Return the sliders of all groups, going through the pages."""
    for page in range(len(window.pages)):
        if len(window.pages) > 1:
            window.controls["page"].set_val(page)
        for row in window.pages[page]:
            if isinstance(row, int):
                group = window.explorer.view.groups[row]
                yield group, window.controls[group.label]


# The window


@pytest.mark.parametrize("slider_grouper", [1, 7, 10, 100, 128])
def test_every_slider_reaches_its_latent_variables(look, slider_grouper):
    window = look(slider_grouper)
    draw = latent_vectors(SEED, 0, 1, 128)[0]
    np.testing.assert_array_equal(reached(window), draw)
    expected, moved = draw.copy(), set()
    for number, (group, slider) in enumerate(sliders(window)):
        value = np.float32(0.5 + number / 100)
        slider.set_val(value)
        expected[group.first : group.stop] += value
        moved |= set(range(group.first, group.stop))
    np.testing.assert_allclose(reached(window), expected, atol=1e-6)
    assert moved == set(range(128))
    click(window, "Reset")
    np.testing.assert_array_equal(reached(window), draw)
    assert {slider.val for _, slider in sliders(window)} == {0}


def test_a_latent_size_that_the_groups_do_not_divide(look, tmp_path):
    window = look(4, inside=looking_package(tmp_path, size=7))
    assert [group.label for group, _ in sliders(window)] == ["z 1-4", "z 5-7"]
    window.controls["z 5-7"].set_val(2)
    np.testing.assert_allclose(
        reached(window) - latent_vectors(SEED, 0, 1, 7)[0], [0] * 4 + [2] * 3, atol=1e-6
    )


def test_a_click_on_a_slider_moves_it(look):
    window = look()
    slider = window.controls["z 1-10"]
    at(window, slider.ax, 0.75)
    assert slider.val == pytest.approx(1.5, abs=0.05)
    change = reached(window) - latent_vectors(SEED, 0, 1, 128)[0]
    np.testing.assert_allclose(change[:10], slider.val, atol=1e-6)
    assert not change[10:].any()


def test_the_offset_moves_all_and_seed_goes_elsewhere(look):
    window = look()
    window.controls["offset"].set_val(-1)
    np.testing.assert_allclose(reached(window), latent_vectors(SEED, 0, 1, 128)[0] - 1, atol=1e-6)
    click(window, "Seed")
    seed = window.explorer.view.seed
    assert seed != SEED
    np.testing.assert_array_equal(reached(window), latent_vectors(seed, 0, 1, 128)[0])
    assert window.controls["offset"].val == 0
    assert f"seed {seed}" in window._caption.get_text()


def test_classes_are_chosen_by_name(look, generators, package):
    window = look()
    ((_, _, label, _),) = generators.generate(
        None, 1, package=package, seed=SEED, save_images=False
    )
    assert window.explorer.view.condition == CLASSES[label]
    chosen = [CLASSES[label]]
    for _ in CLASSES[1:]:
        click_step(window, "class")
        assert window.finish()
        chosen.append(window.explorer.view.condition)
        number = CLASSES.index(chosen[-1])
        assert window.explorer.drawn.batch.labels == [number]
        assert f"label {chosen[-1]}" in window.explorer.caption
    assert sorted(chosen) == sorted(CLASSES)


def click_step(window, name, back=False):
    at(window, window.controls[name].buttons[0 if back else 1].ax, 0.5)


def test_options_reach_the_model_and_its_refusal_is_shown(look):
    window = look()
    while "option steps" not in window.controls:
        click_step(window, "page")
    field = window.controls["option steps"]
    field.set_val("9")
    assert window.finish()
    assert window.explorer.drawn.view.options["steps"] == 9
    field.set_val("0")
    assert window.finish()
    assert "ValueError" in window._status.get_text()
    field.set_val("2")
    assert window.finish()
    assert window.explorer.drawn.view.options["steps"] == 2
    assert "drawn in" in window._status.get_text()
    click_step(window, "option kind")
    click_step(window, "option sharp")
    assert window.finish()
    assert window.explorer.drawn.view.options["kind"] == "hard"
    assert window.explorer.drawn.view.options["sharp"] is True


def test_what_is_saved_is_what_is_shown_and_comes_back(look, generators, package, tmp_path):
    window = look(condition="malignant")
    window.controls["z 11-20"].set_val(1.234)
    latent = reached(window)
    click(window, "Save")
    click(window, "Save")
    files = sorted(path.name for path in (tmp_path / "saved").iterdir())
    stem = f"{window.explorer.record.model_id}_seed{SEED}"
    assert files == sorted(
        stem + end for end in (".json", ".png", "_mask.png", "-2.json", "-2.png", "-2_mask.png")
    )
    file = tmp_path / "saved" / f"{stem}.json"
    assert json.loads(file.read_text())["condition"] == "malignant"
    ((image, mask, label, row),) = generators.generate(
        None, latents=file, condition="malignant", package=package, save_images=False
    )
    assert [row[f"z{i}"] for i in range(128)] == latent.tolist()
    assert label == CLASSES.index("malignant")
    np.testing.assert_array_equal(np.asarray(Image.open(file.with_suffix(".png")))[..., 0], image)
    saved_mask = np.asarray(Image.open(file.with_name(f"{stem}_mask.png")))
    np.testing.assert_array_equal(saved_mask[..., 0], mask)
    again = look(latents=file)
    np.testing.assert_array_equal(reached(again), latent)


def test_what_cannot_be_saved_is_said(look, tmp_path):
    window = look()
    (tmp_path / "saved").write_text("a file where a folder should be")
    click(window, "Save")
    assert "Could not write" in window._status.get_text()


def test_thirty_quick_moves_are_drawn_at_most_twice(look, folder):
    window = look(seconds=0.3)
    before = len((folder / "calls.txt").read_text().splitlines())
    slider = window.controls["z 1-10"]
    for number in range(30):
        slider.set_val(number / 10)
    change = reached(window) - latent_vectors(SEED, 0, 1, 128)[0]
    np.testing.assert_allclose(change[:10], 2.9, atol=1e-6)
    assert len((folder / "calls.txt").read_text().splitlines()) - before <= 2


def test_the_first_picture_is_that_of_generate(look, generators):
    window = look(model=POLYPS)
    ((image, mask),) = generators.generate(POLYPS, 1, seed=SEED, save_images=False)
    panes = window.explorer.panes()
    np.testing.assert_array_equal(panes["image"], image)
    np.testing.assert_array_equal(panes["mask"][..., 0], mask)
    shown = {name: image.get_array() for name, image in window._images.items()}
    np.testing.assert_array_equal(shown["image"], panes["image"])
    np.testing.assert_array_equal(shown["mask"], panes["mask"])


def test_volumes_have_a_slice_slider(look, tmp_path):
    window = look(4, inside=looking_package(tmp_path, size=8, depth=9))
    before = window._images["image"].get_array().copy()
    window.controls["slice"].set_val(1.0)
    after = window._images["image"].get_array()
    assert before.shape == after.shape == (9, 5 + 2 + 5 + 2 + 6, 3)
    assert after[2:8, :5].mean() > before[2:8, :5].mean()
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("size", [(12, 8), (19.2, 10.8)])
@pytest.mark.parametrize("slider_grouper", [1, 10])
def test_no_control_overlaps_another(look, size, slider_grouper):
    window = look(slider_grouper)
    window.figure.set_size_inches(size)
    window._fit()
    for page in {0, len(window.pages) - 1}:
        window._turn(page)
        window.figure.canvas.draw()
        boxes = [axes.get_tightbbox() for axes in window.figure.axes]
        page_box = window.figure.bbox
        for number, box in enumerate(boxes):
            assert page_box.x0 <= box.x0 <= box.x1 <= page_box.x1
            assert page_box.y0 <= box.y0 <= box.y1 <= page_box.y1
            inside = [one for one in boxes[:number] if overlap(one, box)]
            # The arrows of a stepper lie on it.
            assert all(is_part(box, one) or is_part(one, box) for one in inside)


def overlap(one, other):
    return min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and (
        min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    )


def is_part(one, other):
    return one.x0 >= other.x0 - 1 and one.x1 <= other.x1 + 1


def test_sliders_stand_in_order_of_their_effect(generators, tmp_path):
    found = generators.latent_sensitivity(10001, 8, samples=3, seed=1)
    visualizer = ModelVisualizer(generators._executor(10001))
    explorer = visualizer.explorer(
        GenerationRequest.of(seed=1), slider_grouper=8, sensitivity=found
    )
    assert explorer.order == found.order
    with pytest.raises(ArgumentError, match="sensitivity"):
        visualizer.explorer(GenerationRequest.of(seed=1), slider_grouper=4, sensitivity=found)


# Published models


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A noise model with a class option, one with masks, and one that translates images."""
    chosen = {
        m: json.loads(json.dumps(r))
        for m, r in published.RECORDS.items()
        if int(m[:5]) in (5, 8, 10, 16, 22, 11)
    }
    with Zenodo() as server:
        for model_id, record in chosen.items():
            record["execution"]["dependencies"] = published.dependencies(model_id)
            number = int(record["execution"]["package_link"].split("/files/")[0].rsplit("/", 1)[1])
            server.add_record(
                {published.zip_name(model_id): published.build_zip(model_id)}, number=number
            )
        settings = Settings(home=tmp_path_factory.mktemp("home"), zenodo_url=server.url)
        with Generators(catalogue=chosen, settings=settings) as made:
            yield made


def explore(source, model, slider_grouper=10, **arguments):
    request = GenerationRequest.of(seed=SEED, **arguments)
    explorer = Explorer(source._executor(model), request, slider_grouper=slider_grouper)
    explorer.begin()
    return explorer


@pytest.mark.parametrize("model", [5, 8, 10])
def test_published_models_take_the_latent_vector(served, model):
    explorer = explore(served, model)
    first = explorer.panes()["image"]
    moved = explorer.draw(explorer.view.shifted(0, 3.0))
    assert not np.array_equal(
        moved.batch.arrays["image"][0], explorer.drawn.batch.arrays["image"][0]
    )
    again = explorer.draw(explorer.view)
    np.testing.assert_array_equal(explorer.display.image(again.batch.arrays["image"][0]), first)
    given = served.generate(model, latents=explorer.view.latent, save_images=False, seed=SEED)
    image = given[0][0] if isinstance(given[0], tuple) else given[0]
    np.testing.assert_array_equal(explorer.display.image(image), first)


def test_a_published_model_is_asked_for_its_class(served):
    explorer = explore(served, 8)
    assert explorer.conditions == ("benign", "malignant")
    assert explorer.drawn.batch.labels == ["benign"]
    explorer.choose("malignant")
    assert explorer.painter.wait(60)
    assert explorer.update() is None
    assert explorer.drawn.batch.labels == ["malignant"]
    explorer.close()
    figure = served.preview(8, 2, "conditions", seed=1)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["benign", "malignant"]


@pytest.mark.parametrize("model", [16, 22])
def test_image_to_image_models_show_input_and_output(served, model, tmp_path):
    explorer = explore(served, model)
    assert list(explorer.panes()) == ["input", "image"]
    before = explorer.panes()
    if len(explorer.sources) > 1:
        explorer.translate(explorer.sources[1])
        assert explorer.painter.wait(60)
        assert explorer.update() is None
        after = explorer.panes()
        assert not np.array_equal(before["input"], after["input"])
        assert not np.array_equal(before["image"], after["image"])
    explorer.close()


def test_images_of_ones_own_are_translated_in_a_window(served, tmp_path):
    for number in range(2):
        Image.fromarray(np.full((8, 8), 60 + 90 * number, np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    explorer = explore(served, 16, input_path=str(tmp_path))
    figure = Figure()
    Canvas(figure)
    window = Window(explorer, figure, folder=tmp_path)
    assert [path.name for path in explorer.sources] == ["0.png", "1.png"]
    dark = window._images["image"].get_array().mean()
    click_step(window, "input")
    assert window.finish()
    assert (window._images["input"].get_array() == 150).all()
    assert window._images["image"].get_array().mean() != dark
    window.close()
    figure = served.preview(16, kind="grid", input_path=str(tmp_path), path=tmp_path / "pairs.png")
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["0.png", "1.png"]
    with Image.open(tmp_path / "pairs.png") as picture:
        assert picture.size[0] > 400


def test_a_model_with_neither_is_refused(served):
    with pytest.raises(ArgumentError, match="a model with a latent vector"):
        served.latent_sensitivity(11)
    with pytest.raises(ArgumentError, match="a model with a latent vector or with input images"):
        explore(served, 11)
    for kind in ("interpolation", "traversal"):
        with pytest.raises(ArgumentError, match="a model with a latent vector"):
            served.preview(11, kind=kind)


def test_a_package_that_takes_no_latents_is_named(tmp_path):
    package = write_package(tmp_path, contract="generate")
    code = package / "__init__.py"
    code.write_text(code.read_text().replace(", **options)", ")"))
    catalogue = catalogue_of(package)
    (record,) = catalogue.values()
    record["execution"]["generate_method"]["input_latent_vector_size"] = 4
    with (
        Generators(catalogue=catalogue) as made,
        pytest.raises(ContractError, match=r"generate\(\) with the argument input_latent_vector"),
    ):
        made.generate(90100, latents=np.zeros(4), save_images=False)


# Bad input


@pytest.mark.parametrize("backend", ["agg", "TkAgg"])
def test_without_a_display_the_error_names_preview(backend, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-m", "medmint.cli", "visualize", str(POLYPS)],
        cwd=tmp_path,
        env=environment | {"MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(
        r"medmint: There is no display .* preview\('10002_FASTGAN.*'\) .*\n", done.stderr
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("slider_grouper", [0, 129, 2.5, "ten", None])
def test_impossible_groups(generators, slider_grouper):
    for call in (
        lambda: explore(generators, POLYPS, slider_grouper),
        lambda: generators.latent_sensitivity(POLYPS, slider_grouper),
        lambda: generators.preview(POLYPS, kind="traversal", slider_grouper=slider_grouper),
    ):
        with pytest.raises(ArgumentError, match=r"slider_grouper: got .* from 1 to 128"):
            call()


def test_latents_of_another_model(generators, tmp_path):
    file = tmp_path / "latent.json"
    file.write_text(json.dumps({"model_id": "90001_OTHER", "latents": [[0.0] * 128]}))
    for call in (
        lambda: explore(generators, POLYPS, latents=file),
        lambda: generators.generate(POLYPS, latents=file, save_images=False),
    ):
        with pytest.raises(ArgumentError, match=r"latents of 90001_OTHER.*saved for 10002_FASTGAN"):
            call()


def test_ipywidgets_absent(generators, monkeypatch):
    from medmint.errors import MissingExtraError
    from medmint.model_visualizer.notebook import Panel

    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'medmint\[notebook\]'"):
        Panel(explore(generators, 10001), folder=".")


# Still pictures


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def test_a_traversal_has_a_row_for_each_group(generators, tmp_path):
    figure = generators.preview(
        10001, 3, "traversal", seed=2, slider_grouper=16, path=tmp_path / "t.png"
    )
    assert labels(figure.axes[0].yaxis) == ["z 1-16", "z 17-32"]
    assert labels(figure.axes[0].xaxis) == ["-3.0", "+0.0", "+3.0"]
    sheet = figure.axes[0].images[0].get_array()
    middle = sheet[:, 258:514]
    np.testing.assert_array_equal(middle[:256], middle[258:])


def test_an_interpolation_goes_from_one_draw_to_the_next(generators, tmp_path):
    figure = generators.preview(POLYPS, 5, "interpolation", seed=SEED, path=tmp_path / "i.gif")
    sheet = figure.axes[0].images[0].get_array()
    ends = generators.preview(POLYPS, 2, seed=SEED).axes[0].images[0].get_array()
    np.testing.assert_array_equal(sheet[:, :128], ends[:, :128])
    np.testing.assert_array_equal(sheet[:, -128:], ends[:, -128:])
    generators.preview(POLYPS, 5, "interpolation", seed=SEED, path=tmp_path / "i.apng")
    for name, kind in (("i.gif", "GIF"), ("i.apng", "PNG")):
        with Image.open(tmp_path / name) as animation:
            assert (animation.format, animation.n_frames, animation.size) == (kind, 8, (256, 256))


def test_classes_have_a_column_each(generators, package):
    figure = generators.preview(None, 2, "conditions", seed=1, package=package)
    assert labels(figure.axes[0].xaxis) == CLASSES
    assert figure.axes[0].images[0].get_array().shape == (2 * 6 - 2, 3 * 6 - 2, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"kind": "film"}, ArgumentError, "kind: got 'film'"),
        ({"kind": "conditions"}, ArgumentError, "10001_PHANTOM_CT_HEAD_SLICE has no classes"),
        ({"n": 0}, ArgumentError, "n: got 0"),
        ({"n": True}, ArgumentError, "n: got True"),
        *(({"n": n}, ArgumentError, "n: got .* to 4096") for n in (4097, 10**9, 10**30)),
        ({"n": 1, "kind": "interpolation"}, ArgumentError, "n: got 1"),
        ({"n": 1, "path": "still.gif"}, ArgumentError, "path: got 'still.gif'"),
        ({"n": 1, "path": "picture"}, WriterError, "no ending"),
        ({"n": 1, "path": "none/picture.png"}, WriterError, "picture.png"),
        ({"n": 1, "path": "picture.xyz"}, WriterError, "xyz"),
        # So many take their time: the name of the file is looked at before.
        ({"n": 4096, "path": "picture.xyz"}, WriterError, "xyz"),
        ({"n": 4096, "path": "still.gif"}, ArgumentError, "path: got 'still.gif'"),
        *(({"path": path}, ArgumentError, "path: got ") for path in (5, b"x.png", "", "a\0.png")),
        ({"path": "~nobody-at-all/x.png"}, ArgumentError, "path: got "),
        ({"kind": np.array(["grid", "film"])}, ArgumentError, "kind: got "),
        ({"num_samples": 3}, ArgumentError, "num_samples: got 3"),
        ({"output_path": "run"}, ArgumentError, "output_path: got 'run'"),
        ({"save_images": True}, ArgumentError, "save_images: got True"),
    ],
)
def test_impossible_pictures(generators, arguments, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        generators.preview(10001, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_masks_of_another_size_are_refused(generators, tmp_path):
    result = '{"image": images, "mask": np.ones((len(images), 1, 2, 2), np.uint8)}'
    package = write_package(tmp_path, result=result)
    for kind in ("grid", "interpolation"):
        with pytest.raises(ContractError, match="masks as large as the images"):
            generators.preview(None, 2, kind, seed=1, package=package)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("name", ["old.png", "new.png", "old.gif", "new.gif"])
def test_a_full_disk_leaves_what_was_there(tmp_path, name):
    before = {}
    for old in ("old.png", "old.gif"):
        (tmp_path / old).write_bytes(b"old")
        before[old] = b"old"
    kind = "grid" if name.endswith("png") else "interpolation"
    code = (
        "import resource; from medmint.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))\n"
        f"raise SystemExit(main(['preview', '10001', '-n', '2', '--output', {name!r},"
        f" '--kind', {kind!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"Could not write {name}: File too large" in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_command_draws_each_kind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["preview", "10001", "-n", "2", "--seed", "1", "--slider-grouper", "32"]
    for kind in ("grid", "interpolation", "traversal"):
        assert main([*arguments, "--kind", kind, "--output", f"{kind}.png"]) == 0
        with Image.open(f"{kind}.png") as picture:
            assert picture.format == "PNG"
    assert main([*arguments, "--kind", "film"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# Sensitivity


def test_groups_that_do_nothing_have_no_effect(generators, tmp_path):
    # The pictures of this package are made of its first latent variable alone.
    package = looking_package(tmp_path, size=6)
    found = generators.latent_sensitivity(None, 2, samples=6, seed=3, package=package)
    first, *others = found.groups
    assert [effect.label for effect in found.groups] == ["z 1-2", "z 3-4", "z 5-6"]
    assert first.mean > 0.1
    assert first.variance > 0
    assert [(effect.mean, effect.variance) for effect in others] == [(0, 0), (0, 0)]
    assert found.order[0] == 0
    assert 0 < found.overall.mean < first.mean
    assert found == generators.latent_sensitivity(None, 2, samples=6, seed=3, package=package)
    assert json.loads(json.dumps(found.to_dict()))["groups"][0]["label"] == "z 1-2"


def test_a_larger_distance_moves_pictures_further(generators):
    near, far = (
        generators.latent_sensitivity(10001, 32, samples=4, seed=5, distance=d) for d in (0.5, 4.0)
    )
    assert 0 < near.overall.mean < far.overall.mean
    assert near.between_samples == far.between_samples


@pytest.mark.parametrize(
    "arguments",
    [
        *({"samples": given} for given in (1, 10**9)),
        *({"distance": given} for given in (0, float("inf"), "3", True, 1e308, float("nan"))),
        {"latents": np.zeros(32)},
        {"num_samples": 3},
    ],
)
def test_impossible_measures(generators, arguments):
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        generators.latent_sensitivity(10001, **arguments)
