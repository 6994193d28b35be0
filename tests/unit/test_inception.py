"""InceptionV3: its structure, the names of its weights, and the files that they come from."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medmint.errors import IntegrityError, MetricError
from medmint.metrics import find_extractor, metric_name
from medmint.metrics.inception import InceptionV3, load_network

#: Convolutions in the order of the published state dict: name, channels in and out, kernel.
STEM = [
    ("Conv2d_1a_3x3", 3, 32, (3, 3)),
    ("Conv2d_2a_3x3", 32, 32, (3, 3)),
    ("Conv2d_2b_3x3", 32, 64, (3, 3)),
    ("Conv2d_3b_1x1", 64, 80, (1, 1)),
    ("Conv2d_4a_3x3", 80, 192, (3, 3)),
]
POOL_CHANNELS = {"5b": 32, "5c": 64, "5d": 64}
WIDTHS = {"6b": 128, "6c": 160, "6d": 160, "6e": 192}
INPUTS = {"5b": 192, "5c": 256, "5d": 288, "6a": 288, "7a": 768, "7b": 1280, "7c": 2048}


def published_layers():
    """Return the layers as they were published, written down layer by layer."""
    layers = list(STEM)

    def add(block, name, inputs, outputs, kernel):
        layers.append((f"Mixed_{block}.{name}", inputs, outputs, kernel))

    for block, pool in POOL_CHANNELS.items():
        add(block, "branch1x1", INPUTS[block], 64, (1, 1))
        add(block, "branch5x5_1", INPUTS[block], 48, (1, 1))
        add(block, "branch5x5_2", 48, 64, (5, 5))
        add(block, "branch3x3dbl_1", INPUTS[block], 64, (1, 1))
        add(block, "branch3x3dbl_2", 64, 96, (3, 3))
        add(block, "branch3x3dbl_3", 96, 96, (3, 3))
        add(block, "branch_pool", INPUTS[block], pool, (1, 1))
    add("6a", "branch3x3", 288, 384, (3, 3))
    add("6a", "branch3x3dbl_1", 288, 64, (1, 1))
    add("6a", "branch3x3dbl_2", 64, 96, (3, 3))
    add("6a", "branch3x3dbl_3", 96, 96, (3, 3))
    for block, width in WIDTHS.items():
        add(block, "branch1x1", 768, 192, (1, 1))
        add(block, "branch7x7_1", 768, width, (1, 1))
        add(block, "branch7x7_2", width, width, (1, 7))
        add(block, "branch7x7_3", width, 192, (7, 1))
        add(block, "branch7x7dbl_1", 768, width, (1, 1))
        add(block, "branch7x7dbl_2", width, width, (7, 1))
        add(block, "branch7x7dbl_3", width, width, (1, 7))
        add(block, "branch7x7dbl_4", width, width, (7, 1))
        add(block, "branch7x7dbl_5", width, 192, (1, 7))
        add(block, "branch_pool", 768, 192, (1, 1))
    add("7a", "branch3x3_1", 768, 192, (1, 1))
    add("7a", "branch3x3_2", 192, 320, (3, 3))
    add("7a", "branch7x7x3_1", 768, 192, (1, 1))
    add("7a", "branch7x7x3_2", 192, 192, (1, 7))
    add("7a", "branch7x7x3_3", 192, 192, (7, 1))
    add("7a", "branch7x7x3_4", 192, 192, (3, 3))
    for block in ("7b", "7c"):
        inputs = INPUTS[block]
        add(block, "branch1x1", inputs, 320, (1, 1))
        add(block, "branch3x3_1", inputs, 384, (1, 1))
        add(block, "branch3x3_2a", 384, 384, (1, 3))
        add(block, "branch3x3_2b", 384, 384, (3, 1))
        add(block, "branch3x3dbl_1", inputs, 448, (1, 1))
        add(block, "branch3x3dbl_2", 448, 384, (3, 3))
        add(block, "branch3x3dbl_3a", 384, 384, (1, 3))
        add(block, "branch3x3dbl_3b", 384, 384, (3, 1))
        add(block, "branch_pool", inputs, 192, (1, 1))
    return layers


def state_dict(*, classes=1008, seed=0):
    """Return made-up weights under the published names, scaled so that signals survive."""
    random = np.random.default_rng(seed)

    def draw(*shape, scale=1.0):
        return torch.from_numpy(random.standard_normal(shape, dtype=np.float32)) * scale

    state = {}
    for name, inputs, outputs, kernel in published_layers():
        fan = inputs * kernel[0] * kernel[1]
        state[f"{name}.conv.weight"] = draw(outputs, inputs, *kernel, scale=(2 / fan) ** 0.5)
        state[f"{name}.bn.weight"] = 1 + draw(outputs, scale=0.1)
        state[f"{name}.bn.bias"] = draw(outputs, scale=0.1)
        state[f"{name}.bn.running_mean"] = draw(outputs, scale=0.1)
        state[f"{name}.bn.running_var"] = torch.exp(draw(outputs, scale=0.1))
    if classes:
        state["fc.weight"] = draw(classes, 2048, scale=0.02)
        state["fc.bias"] = draw(classes)
    return state


STATE = state_dict()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(STATE, path)
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_names_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        network = InceptionV3(fid=True)
    expected = {name: tensor.shape for name, tensor in STATE.items()}
    found = {
        name: tensor.shape
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert found == expected


def test_there_are_as_many_weights_as_published():
    # 27,161,264 in all with 1,000 classes, of which 3,326,696 are in the auxiliary classifier.
    without = 27_161_264 - 3_326_696 - 1000 * 2049
    with torch.device("meta"):
        networks = InceptionV3(fid=False), InceptionV3(fid=True)
    counts = [sum(weights.numel() for weights in network.parameters()) for network in networks]
    assert counts == [without, without + 1008 * 2049]


def test_features_of_any_size_and_of_each_image_alone():
    network = load_network(STATE, fid=True, source="made up")
    images = torch.rand(3, 3, 80, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        features = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert features.shape == (3, 2048)
    torch.testing.assert_close(alone, features, rtol=1e-3, atol=1e-4)
    assert features.std(dim=0).mean() > 1e-4
    expected = features @ STATE["fc.weight"].T
    torch.testing.assert_close(network.unbiased_logits(features), expected)


#: Features 0, 319, 320, 1000, 1088, 1856 and 2047 of one image with the made-up weights, and the
#: mean of all, from an implementation of other people's (pytorchcv 0.0.74; its poolings exchanged
#: for the network of the FID), which ours met to the last bit.
REFERENCE = {
    False: [0.0422969, 0.5081214, 0.5378466, 0.0272236, 0.1005892, 0.4325067, 0, 0.3297],
    True: [0, 0.6255922, 0.6305605, 0.0022880, 0.1210379, 2.1108704, 0.5041626, 0.4637],
}


@pytest.mark.parametrize("fid", [False, True])
def test_features_are_those_of_another_implementation(fid):
    state = {name: tensor for name, tensor in STATE.items() if fid or not name.startswith("fc.")}
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, 3, 107, 123)).astype(np.float32)
    with torch.inference_mode():
        features = load_network(state, fid=fid, source="made up")(torch.from_numpy(pixels))[0]
    found = [*features[[0, 319, 320, 1000, 1088, 1856, 2047]].tolist(), float(features.mean())]
    np.testing.assert_allclose(found, REFERENCE[fid], rtol=1e-3, atol=1e-4)


def test_pooling_is_that_of_each_network():
    with torch.device("meta"):
        network, common = InceptionV3(fid=True), InceptionV3(fid=False)
    ones = torch.ones(1, 192, 5, 5)
    assert network.Mixed_5b.pool(ones)[0, 0, 0, 0] == 1
    assert common.Mixed_5b.pool(ones)[0, 0, 0, 0] == pytest.approx(4 / 9)
    blocks = ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b", "7c")
    kinds = [type(network.get_submodule(f"Mixed_{block}").pool).__name__ for block in blocks]
    assert kinds == ["AvgPool2d"] * 8 + ["MaxPool2d"]


def test_branches_stand_in_their_order():
    network = load_network(STATE, fid=True, source="made up")
    block, pixels = network.Mixed_7b, torch.rand(1, 1280, 4, 4)
    with torch.inference_mode():
        output = block(pixels)
        first = block.get_submodule("branch1x1")(pixels)
        inner = block.get_submodule("branch3x3_1")(pixels)
        forked = block.get_submodule("branch3x3_2b")(inner)
        pooled = block.get_submodule("branch_pool")(block.pool(pixels))
    assert output.shape[1] == 2048
    torch.testing.assert_close(output[:, :320], first)
    torch.testing.assert_close(output[:, 320 + 384 : 320 + 768], forked)
    torch.testing.assert_close(output[:, -192:], pooled)


def test_the_reductions_have_no_padding():
    with torch.device("meta"):
        network = InceptionV3(fid=True)
        assert network.Mixed_6a(torch.zeros(1, 288, 35, 35)).shape == (1, 768, 17, 17)
        assert network.Mixed_7a(torch.zeros(1, 768, 17, 17)).shape == (1, 1280, 8, 8)


def test_weights_of_a_file_the_user_names(weights):
    extractor = find_extractor("inception", weights=weights, sha256=digest(weights))
    features = extractor(np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8))
    assert features.shape == (2, 2048)
    assert extractor.weights_sha256 == digest(weights)
    assert extractor.preset["name"] == "torch_fidelity"
    # Made-up weights give no FID.
    assert metric_name("frechet_distance", extractor) == "frechet_distance[inception]"


def test_fid_is_said_of_the_weights_of_2015_alone():
    class Published:
        name, preset, weights_sha256 = "inception", {}, "6726825d" + "0" * 56

        def __call__(self, images):
            return images

    published, other = Published(), Published()
    other.name = "radimagenet"
    assert metric_name("frechet_distance", published) == "FID"
    assert metric_name("kid", published) == "KID"
    assert metric_name("precision", published) == "precision[inception]"
    assert metric_name("frechet_distance", other) == "frechet_distance[radimagenet]"


def test_the_wrong_file_is_refused_and_its_hash_shown(weights):
    with pytest.raises(IntegrityError, match=digest(weights)) as caught:
        find_extractor("inception", weights=weights)
    assert "6726825d" in str(caught.value)


def test_cached_weights_are_found_and_checked(settings, weights):
    with pytest.raises(MetricError, match=r"pt_inception-2015-12-05-6726825d\.pth"):
        find_extractor("inception")
    folder = settings.home / "weights"
    folder.mkdir(parents=True)
    (folder / "pt_inception-2015-12-05-6726825d.pth").write_bytes(weights.read_bytes())
    found = find_extractor("inception", sha256=digest(weights)[:8])
    assert found.weights_sha256 == digest(weights)
    with pytest.raises(IntegrityError, match=digest(weights)):
        find_extractor("inception")


def test_radimagenet_weights_have_names_of_torchvision(tmp_path):
    state = state_dict(classes=0) | {
        "fc.weight": torch.zeros(165, 2048),
        "AuxLogits.conv0.conv.weight": torch.zeros(128, 768, 1, 1),
        "Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(7),
    }
    path = tmp_path / "InceptionV3.safetensors"
    save_file(state, path)
    extractor = find_extractor("radimagenet", weights=path, normalisation="minmax")
    assert (extractor.name, extractor.weights_sha256) == ("radimagenet", digest(path))
    assert (extractor.preset["name"], extractor.preset["normalisation"]) == ("medigan", "minmax")
    assert metric_name("frechet_distance", extractor) == "frechet_distance[radimagenet]"
    ours = find_extractor("radimagenet", weights=path, preset="imagenet_224")
    assert ours.preset["side"] == 224


def test_layers_may_be_numbered():
    # The order of torchvision's layers, poolings counted, as in a torch.nn.Sequential of them.
    order = [*[name for name, *_ in STEM[:3]], "pool", *[name for name, *_ in STEM[3:]], "pool"]
    order += [f"Mixed_5{block}" for block in "bcd"] + [f"Mixed_6{block}" for block in "abcde"]
    order += [f"Mixed_7{block}" for block in "abc"]
    plain = {name: tensor for name, tensor in STATE.items() if not name.startswith("fc.")}
    numbered = {
        f"backbone.{order.index(name.partition('.')[0])}.{name.partition('.')[2]}": tensor
        for name, tensor in plain.items()
    }
    loaded = load_network(numbered, fid=False, source="made up").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in plain.items())
    with pytest.raises(MetricError, match=r"backbone\.99\.conv\.weight is unknown"):
        load_network(
            plain | {"backbone.99.conv.weight": torch.zeros(1)}, fid=False, source="made up"
        )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda s: s.pop("Mixed_6c.branch7x7_2.conv.weight"), "branch7x7_2.conv.weight is missing"),
        (lambda s: s.update({"extra.weight": torch.zeros(1)}), "extra.weight is unknown"),
        (lambda s: s.update({"fc.bias": torch.zeros(1000)}), r"fc.bias has shape \(1000,\)"),
    ],
)
def test_other_weights_are_refused(change, fault):
    state = dict(STATE)
    change(state)
    with pytest.raises(MetricError, match=fault):
        load_network(state, fid=True, source="made up")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04broken"])
def test_files_that_are_no_weights_are_refused(tmp_path, content, suffix):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=digest(path)):
        find_extractor("radimagenet", weights=path)


def test_pickled_code_is_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return marker.write_text, ("ran",)

    path = tmp_path / "evil.pth"
    torch.save({"weights": Evil()}, path)
    with pytest.raises(IntegrityError):
        find_extractor("radimagenet", weights=path)
    assert not marker.exists()
    torch.save([1, 2], path)
    with pytest.raises(IntegrityError, match="something else"):
        find_extractor("radimagenet", weights=path)


def test_no_file_is_said(tmp_path):
    with pytest.raises(MetricError, match="weights"):
        find_extractor("inception", weights=tmp_path / "none.pth")
