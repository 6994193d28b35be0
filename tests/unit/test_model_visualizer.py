"""What the window and the notebook share: views, coalesced drawing, pictures of arrays."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from medmint.errors import ArgumentError, GenerationError
from medmint.model_visualizer.display import Display
from medmint.model_visualizer.explorer import (
    class_names,
    drawn_classes,
    latent_size,
    settings_of,
)
from medmint.model_visualizer.inputs import input_option
from medmint.model_visualizer.painting import Painter
from medmint.model_visualizer.stills import interpolate
from medmint.model_visualizer.view import View, groups_of
from medmint.samples import draw_conditions
from tests.fakes.published import RECORDS
from tests.packages.records import record

SIZES = st.integers(1, 2000)
LAW = settings(max_examples=50, deadline=None)


def view_of(size, grouper, seed=0):
    groups = groups_of(size, grouper)
    draw = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return View(seed=seed, draw=draw, groups=groups, shifts=(0.0,) * len(groups))


# Groups and views


@LAW
@given(size=SIZES, data=st.data())
def test_every_latent_variable_has_one_slider(size, data):
    grouper = data.draw(st.integers(1, size))
    groups = groups_of(size, grouper)
    covered = [index for group in groups for index in range(group.first, group.stop)]
    assert covered == list(range(size))
    assert {group.stop - group.first for group in groups[:-1]} <= {grouper}


@pytest.mark.parametrize("given_value", [0, -1, 9, 2.5, 2.0, "2", True, None])
def test_impossible_groups_are_refused(given_value):
    with pytest.raises(ArgumentError, match=r"slider_grouper: got .* whole number from 1 to 8"):
        groups_of(8, given_value)


@LAW
@given(size=st.integers(1, 300), seed=st.integers(0, 99), data=st.data())
def test_a_slider_moves_its_variables_and_no_other(size, seed, data):
    view = view_of(size, data.draw(st.integers(1, size)), seed)
    number = data.draw(st.integers(0, len(view.groups) - 1))
    value = data.draw(st.floats(-3, 3))
    group = view.groups[number]
    expected = view.draw.copy()
    expected[group.first : group.stop] += np.float32(value)
    np.testing.assert_array_equal(view.shifted(number, value).latent, expected)


@LAW
@given(size=st.integers(1, 300), seed=st.integers(0, 99))
def test_the_first_picture_is_the_draw_itself(size, seed):
    view = view_of(size, 1, seed)
    assert view.latent.tobytes() == view.draw.tobytes()
    moved = view.shifted(0, 1.5).shifted(size - 1, -2.0)
    assert moved.is_moved
    assert moved.reset().latent.tobytes() == view.draw.tobytes()
    assert not moved.reset().is_moved


def test_the_first_classes_are_those_that_generate_draws():
    drawn = drawn_classes(record(conditions=["benign", "malignant"]), 7, 5)
    np.testing.assert_array_equal(drawn, draw_conditions(7, 0, 5, 2))
    assert drawn_classes(record(), 7, 5) is None


# Interpolation


VECTORS = arrays_of.arrays(np.float32, 16, elements=st.floats(-4, 4, width=32))


@LAW
@given(start=VECTORS, end=VECTORS, steps=st.integers(2, 20))
def test_interpolation_keeps_both_ends_and_stays_finite(start, end, steps):
    path = interpolate(start, end, steps=steps)
    assert path.shape == (steps, 16)
    np.testing.assert_array_equal(path[[0, -1]], [start, end])
    assert np.isfinite(path).all()


@LAW
@given(seed=st.integers(0, 999))
def test_interpolation_stays_as_long_as_its_ends_are(seed):
    start, end = np.random.default_rng(seed).standard_normal((2, 64)).astype(np.float32)
    end *= np.linalg.norm(start) / np.linalg.norm(end)
    lengths = np.linalg.norm(interpolate(start, end, steps=9), axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(start), rtol=1e-5)


# Coalesced drawing


class Slow:
    """Something that draws when it is told to, and notes what it drew."""

    def __init__(self):
        self.drawn = []
        self.started, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, wish):
        self.started.release()
        assert self.go.acquire(timeout=60)
        self.drawn.append(wish)
        if wish == "fails":
            raise GenerationError("model", "it broke")
        return wish


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def painter(slow):
    made = Painter(slow)
    yield made
    made.close()


def test_of_many_wishes_the_first_and_the_last_are_drawn(slow, painter):
    painter.ask(0)
    assert slow.started.acquire(timeout=60)
    for wish in range(1, 30):
        painter.ask(wish)
    slow.go.release(2)
    assert painter.wait(60)
    assert slow.drawn == [0, 29]
    assert painter.take() == 29
    assert painter.take() is None
    assert painter.is_idle


@LAW
@given(wishes=st.lists(st.integers(), min_size=1, max_size=50))
def test_the_last_wish_is_always_drawn_and_none_is_drawn_twice(wishes):
    drawn = []
    painter = Painter(lambda wish: drawn.append(wish) or wish)
    numbered = list(enumerate(wishes))
    for wish in numbered:
        painter.ask(wish)
    assert painter.wait(60)
    painter.close()
    assert painter.take() == numbered[-1]
    assert drawn == sorted(set(drawn))


def test_what_goes_wrong_is_handed_over_and_drawing_goes_on(slow, painter):
    slow.go.release(2)
    painter.ask("fails")
    assert painter.wait(60)
    assert isinstance(painter.take(), GenerationError)
    painter.ask("works")
    assert painter.wait(60)
    assert painter.take() == "works"


def test_waiting_includes_being_told(slow):
    told = []
    painter = Painter(slow, lambda: told.append(painter.take()))
    slow.go.release()
    painter.ask(1)
    assert painter.wait(60)
    assert told == [1]
    painter.close()


def test_a_closed_painter_draws_no_more(slow, painter):
    painter.close()
    painter.ask(1)
    assert not painter.wait(0.05)
    assert slow.drawn == []


def test_waiting_ends_after_its_time(slow, painter):
    painter.ask(1)
    assert not painter.wait(0.01)
    slow.go.release()
    assert painter.wait(60)


# Pictures


def display(**execution):
    return Display(record(**execution))


def test_eight_bits_are_shown_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(display().image(image), image)
    np.testing.assert_array_equal(display().image(image[..., 0])[..., 2], image[..., 0])


def test_of_two_channels_the_first_is_shown():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 2), dtype=np.uint8)
    spec = {"dtype": "uint8", "channels": 2}
    shown = display(output={"image": spec}).image(image)
    np.testing.assert_array_equal(shown, np.repeat(image[..., :1], 3, axis=2))


def test_the_window_of_the_record_is_used():
    spec = {"dtype": "int16", "window": [-100, 100]}
    shown = display(output={"image": spec}).image(np.array([[-900, 0, 100, 900]], np.int16))
    assert shown[0, :, 0].tolist() == [0, 127, 255, 255]


def test_without_one_the_first_image_decides_for_all():
    spec = {"dtype": "uint16"}
    shows = display(output={"image": spec})
    first = np.arange(1000, 2000, dtype=np.uint16).reshape(20, 50)
    assert np.ptp(shows.image(first)) == 255
    assert (shows.image(first + np.uint16(5000)) == 255).all()


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 4, 3)])
def test_of_a_volume_three_slices_are_shown(shape):
    volume = np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)
    spec = {"dtype": "uint8", "spatial_dims": 3}
    shows = display(output={"image": spec})
    assert shows.is_volume(volume)
    for position, (row, column, depth) in ((0.0, (0, 0, 0)), (1.0, (5, 4, 3))):
        shown = shows.image(volume, position)
        assert shown.shape == (6, 5 + 2 + 5 + 2 + 6, 3)
        channel = shown[..., 0] if len(shape) == 3 else shown
        np.testing.assert_array_equal(channel[:, :5], volume[:, :, depth])
        np.testing.assert_array_equal(channel[1:5, 7:12], volume[row].swapaxes(0, 1)[::-1])
        np.testing.assert_array_equal(channel[1:5, 14:], volume[:, column].swapaxes(0, 1)[::-1])


def test_masks_are_white_and_classes_have_colours():
    assert display().mask(np.array([[0, 255]], np.uint8)).tolist() == [[[0] * 3, [255] * 3]]
    assert display().mask(np.array([[0, 1]], np.uint8)).tolist() == [[[0] * 3, [255] * 3]]
    assert display().mask(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]
    assert display().mask(np.array([[7, 200]], np.uint8)).tolist() == [[[7] * 3, [200] * 3]]
    classes = display().mask(np.array([[0, 1, 2, 3, 12]], np.uint8))[0]
    assert len(np.unique(classes, axis=0)) == 5


# What records say


def test_published_models_that_take_latents_and_inputs():
    from medmint.catalogue.records import ModelRecord

    records = [ModelRecord.from_dict(*item) for item in RECORDS.items()]
    numbers = {int(one.model_id[:5]) for one in records if latent_size(one)}
    assert numbers == {1, 2, 5, 6, 8, 9, 10, 12, 17, 18, 19, 20}
    translated = {int(one.model_id[:5]) for one in records if input_option(one)}
    assert translated == {3, 4, 13, 14, 15, 16, 21, 22, 23}
    assert {int(one.model_id[:5]) for one in records if class_names(one)} == {8, 12}


def test_settings_leave_out_what_has_a_control_of_its_own():
    options = {"condition": None, "input_path": "images", "steps": 4}
    named = settings_of(record("generate", options=options), {"steps": 9})
    assert [(one.name, one.value) for one in named] == [("steps", 9)]
