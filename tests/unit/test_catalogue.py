import copy
import json
import pickle

import jsonschema
import pytest
from packaging.requirements import Requirement

from medmint.catalogue.checks import parse_catalogue, read_catalogue, schema
from medmint.catalogue.records import (
    Execution,
    GenerateMethod,
    ModelRecord,
    OutputSpec,
    ReadOnly,
    record_faults,
    unknown_keys,
    validate_catalogue,
)
from medmint.errors import InvalidRecordError
from medmint.resources import config_file

CATALOGUE = read_catalogue(config_file("global.json"))
PUBLISHED = [model_id for model_id in CATALOGUE if int(model_id[:5]) < 10000]
PHANTOM = "10001_PHANTOM_CT_HEAD_SLICE"
POLYPS = "10002_FASTGAN_ENDOSCOPY_POLYP_W_MASKS"
#: FID between real images, and of synthetic against real ones, as printed in the paper (Table 3).
TABLE_3 = {
    1: (33.61, 67.60),
    2: (28.85, 80.51),
    3: (65.94, 150.16),
    4: (68.22, 161.17),
    5: (68.22, 180.04),
    6: (68.22, 221.30),
    7: (30.73, 140.02),
    8: (37.56, 137.75),
    9: (43.31, 225.85),
    10: (43.31, 63.99),
    11: (43.31, 171.15),
    12: (68.22, 205.29),
    13: (65.75, 101.09),
    14: (41.61, 73.77),
    15: (74.96, 162.67),
    16: (42.68, 98.38),
    17: (24.34, 126.78),
    18: (24.34, 211.47),
    19: (28.74, 96.74),
    20: (28.33, 52.17),
    21: (24.41, 59.49),
}


def record_data(model_id=POLYPS):
    return copy.deepcopy(CATALOGUE[model_id])


def by_number(number):
    return next(CATALOGUE[key] for key in CATALOGUE if int(key[:5]) == number)


# What ships


def test_all_published_and_reference_models_are_there():
    numbers = [int(model_id[:5]) for model_id in CATALOGUE]
    assert numbers == [*range(1, 24), *range(10001, 10006)]


def test_the_shipped_catalogue_is_valid():
    jsonschema.Draft202012Validator.check_schema(schema())
    validate_catalogue(CATALOGUE, "global.json")
    # The file as a whole fits the schema as a whole, not only record by record.
    jsonschema.Draft202012Validator(schema()).validate(CATALOGUE)


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_a_record_goes_to_json_and_back_without_loss(model_id):
    record = ModelRecord.from_dict(model_id, CATALOGUE[model_id])
    assert json.dumps(record.to_dict()) == json.dumps(CATALOGUE[model_id])
    assert ModelRecord.from_dict(model_id, record.to_dict()) == record


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_dependencies_can_be_installed_together(model_id):
    names = [Requirement(line).name for line in CATALOGUE[model_id]["execution"]["dependencies"]]
    assert "Path" not in names
    assert sum("opencv" in name for name in names) <= 1


@pytest.mark.parametrize(("number", "printed"), TABLE_3.items())
def test_fid_is_that_of_table_3(number, printed):
    metrics = by_number(number)["selection"]["performance"]
    assert (metrics["FID_rr"], metrics["FID"]) == printed


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_ratios_are_computed_not_printed(model_id):
    metrics = CATALOGUE[model_id]["selection"]["performance"]
    for name in ("FID", "FID_RADIMAGENET"):
        real, ratio = metrics[f"{name}_rr"], metrics[f"{name}_ratio"]
        assert ratio == (None if real is None else round(real / metrics[name], 3))


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_downstream_figures_have_one_naming(model_id):
    metrics = CATALOGUE[model_id]["selection"]["performance"]
    known = {"F1", "AUROC", "AUPRC", "Dice", "Dice_loss", "IoU", "FROC_AUC"}
    known |= {"Dice_tumor", "Dice_cochlea"}
    for task in ("CLF", "SEG", "DET"):
        for figures in metrics[task].values():
            numbers = {name: value for name, value in figures.items() if name != "positive_class"}
            assert set(numbers) <= known
            assert all(isinstance(value, float) for value in numbers.values())


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_figures_agree_with_tables_5_and_6_of_the_paper(model_id):
    record = CATALOGUE[model_id]
    tables = record["description"].get("paper_tables", {})
    names = {"F-score": "F1", "FROC AUC": "FROC_AUC", "Dice loss": "Dice_loss"}
    regimes = {
        "trained_on_real": "trained_on_real",
        "trained_on_synthetic": "trained_on_fake",
        "trained_on_real_and_synthetic": "trained_on_real_and_fake",
    }
    for row in [*tables.get("5", []), *tables.get("6", [])]:
        task = next(
            key
            for key, word in {"CLF": "classif", "SEG": "segment", "DET": "detect"}.items()
            if word in row["task"]
        )
        metric = names.get(row["metric"], row["metric"])
        if "cochlea" in row["task"]:
            metric = "Dice_cochlea"
        for printed, regime in regimes.items():
            if row.get(printed) is not None:
                found = record["selection"]["performance"][task][regime][metric]
                assert found == row[printed]


def test_figures_stand_with_the_model_that_the_paper_gives_them_to():
    for number in (9, 10):
        segmentation = by_number(number)["selection"]["performance"]["SEG"]
        assert not any(segmentation.values())
    trained_on_fake = by_number(11)["selection"]["performance"]["SEG"]["trained_on_fake"]
    assert (trained_on_fake["Dice_loss"], trained_on_fake["IoU"]) == (0.137, 0.798)


@pytest.mark.parametrize(
    ("number", "path", "value"),
    [
        (12, "dataset", ["BCDR"]),
        (19, "dataset", ["ChestX-ray14"]),
        (20, "height", 1024),
        (7, "license", None),
    ],
)
def test_conflicts_are_resolved_with_a_note(number, path, value):
    record = by_number(number)
    assert record["selection"][path] == value
    assert record["description"]["notes"]


def test_no_model_of_mri_hides_it():
    for number in (7, 21, 22, 23):
        assert "mri" in [term.lower() for term in by_number(number)["selection"]["modality"]]


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_options_are_explained(model_id):
    record = CATALOGUE[model_id]
    explained = {item["name"]: item for item in record["description"]["parameters"]}
    custom = record["execution"]["generate_method"]["args"]["custom"]
    assert custom == {name: explained[name]["default"] for name in custom}
    assert all(item["help"].endswith(".") for item in explained.values())


# Schema, dataclasses and records are one


@pytest.mark.parametrize(
    ("definition", "fields"),
    [
        ("record", {*ModelRecord.__slots__} - {"model_id", "_text"}),
        ("execution", {*Execution.__slots__}),
        ("output_spec", {*OutputSpec.__slots__}),
    ],
)
def test_dataclasses_have_the_fields_of_the_schema(definition, fields):
    assert fields == set(schema()["$defs"][definition]["properties"])


def test_generate_method_has_the_fields_of_the_schema():
    properties = schema()["$defs"]["generate_method"]["properties"]
    flat = set(properties) - {"args"} | set(properties["args"]["properties"])
    assert flat == {*GenerateMethod.__slots__}


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_shipped_records_have_no_unknown_keys(model_id):
    assert unknown_keys(CATALOGUE[model_id]) == []


# Records


def test_what_the_executor_reads():
    record = ModelRecord.from_dict(POLYPS, record_data())
    execution = record.execution
    assert record.number == 10002
    assert execution.contract == "sampler"
    assert execution.package_link == "bundled:fastgan_polyp"
    assert execution.weights_name == "weights.safetensors"
    assert execution.image_size == (128, 128)
    assert execution.generate_method.input_latent_vector_size == 128
    assert execution.output["mask"].values == {"0": "background", "255": "polyp"}
    assert execution.requires_pickle is False


def test_the_phantom_has_no_weights():
    execution = ModelRecord.from_dict(PHANTOM, record_data(PHANTOM)).execution
    assert execution.weights_name == ""
    assert execution.output["image"] == OutputSpec(
        dtype="int16",
        channels=1,
        spatial_dims=2,
        value_range=(-1024, 3071),
        unit="HU",
        window=(-20, 100),
        spacing_mm=(0.85, 0.85),
    )


def test_a_record_cannot_be_changed():
    data = record_data()
    record = ModelRecord.from_dict(POLYPS, data)
    data["selection"]["organ"].append("liver")
    record.to_dict()["selection"]["organ"].append("liver")
    assert "liver" not in record.selection["organ"]
    with pytest.raises(TypeError):
        record.selection["organ"] = ()
    with pytest.raises(AttributeError):
        record.model_id = "other"
    with pytest.raises(AttributeError):
        record.selection["organ"].append("liver")


def test_a_record_survives_pickling_and_hashing():
    record = ModelRecord.from_dict(POLYPS, record_data())
    assert pickle.loads(pickle.dumps(record)) == record
    assert len({record, pickle.loads(pickle.dumps(record))}) == 1


def test_defaults_can_be_handed_to_a_package_as_plain_json():
    custom = ModelRecord.from_dict("00004_NAME", by_number(4)).execution.generate_method.custom
    assert custom.thawed() == by_number(4)["execution"]["generate_method"]["args"]["custom"]
    assert isinstance(custom.thawed()["shapes"], list)


def test_unknown_keys_are_kept_and_reported_in_one_warning():
    data = record_data()
    data["execution"]["colour"] = "mint"
    data["favourite"] = [1]
    with pytest.warns(UserWarning, match=r"favourite, execution\.colour") as caught:
        record = ModelRecord.from_dict(POLYPS, data)
    assert len(caught) == 1
    assert record.to_dict() == data


def test_a_record_of_medigan_loads_with_its_oddities():
    data = record_data()
    for key in ("contract", "output", "requires_pickle"):
        del data["execution"][key]
    data["execution"]["generate_method"]["name"] = "generate"
    data["execution"]["image_size"] = ["224", "192"]
    data["selection"] |= {"year": "2021", "height": 224.0, "privacy_preservation": ""}
    data["selection"]["performance"] |= {"turing_test": "", "SEG": {"dice": "0.797"}}
    data["description"] |= {"provided_after_epoch": [1400, 1750], "inputs": ["z: default=None"]}
    record = ModelRecord.from_dict("00021_OLD", data)
    assert record.execution.contract == "generate"
    assert record.execution.image_size == (224, 192)
    assert record.to_dict() == data


# Faults


def test_all_faults_are_listed_with_their_paths():
    data = record_data()
    del data["execution"]["package_link"]
    data["execution"]["dependencies"] = "numpy"
    data["execution"]["image_size"] = [128, -1]
    data["selection"]["performance"]["FID"] = float("nan")
    data["selection"]["organ"] = 7
    with pytest.raises(InvalidRecordError) as caught:
        validate_catalogue({POLYPS: data}, "mine.json")
    message = str(caught.value)
    assert "mine.json: 5 faults" in message
    for path in (
        "execution: 'package_link'",
        "execution/dependencies: ",
        "execution/image_size/1: ",
        "selection/performance/FID: ",
        "selection/organ: ",
    ):
        assert f"/{POLYPS}/{path}" in message


@pytest.mark.parametrize("part", ["execution", "selection", "description"])
def test_a_missing_part_is_a_fault(part):
    data = record_data()
    del data[part]
    with pytest.raises(InvalidRecordError, match=f"/{POLYPS}/{part}: expected an object"):
        ModelRecord.from_dict(POLYPS, data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("execution.contract", "magic"),
        ("execution.sha256", "abc"),
        ("execution.extension", "pt"),
        ("execution.output", {"image": {"dtype": "float64"}}),
        ("execution.output", {"image": {}}),
        ("execution.output", {"image": {"dtype": "uint8", "orientation": "RL"}}),
        ("execution.output", {"image": {"dtype": "uint8", "orientation": "XYZ"}}),
        ("description.privacy", {"delta": 2}),
        ("selection.height", "128"),
    ],
)
def test_values_out_of_bounds_are_faults(path, value):
    data = record_data()
    part, key = path.split(".")
    data[part][key] = value
    assert any(f"/{part}/{key}" in fault for fault in record_faults(POLYPS, data))


def test_a_sampler_needs_the_size_of_its_latent_vector():
    data = record_data()
    del data["execution"]["generate_method"]["input_latent_vector_size"]
    assert record_faults(POLYPS, data)
    data["execution"]["contract"] = "generate"
    assert not record_faults(POLYPS, data)


@pytest.mark.parametrize(
    "odd",
    [object(), {1, 2}, b"bytes", {1: "key"}, "\ud800", float("inf")],
    ids=["object", "set", "bytes", "key", "surrogate", "infinity"],
)
def test_what_json_cannot_hold_is_a_fault(odd):
    data = record_data()
    data["selection"]["performance"]["odd"] = odd
    with pytest.raises(InvalidRecordError, match="/selection/performance/odd"):
        validate_catalogue({POLYPS: data}, "mine")


def nested(depth):
    tree = []
    for _ in range(depth):
        tree = [tree]
    return tree


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_a_fault(depth):
    data = record_data()
    data["selection"]["performance"]["deep"] = nested(depth)
    with pytest.raises(InvalidRecordError, match="nested"):
        validate_catalogue({POLYPS: data}, "mine")


def test_nesting_beyond_what_python_can_recurse_is_a_fault_of_the_record():
    data = record_data()
    data["selection"]["performance"]["deep"] = nested(100_000)
    with pytest.raises(InvalidRecordError, match="nested"):
        ModelRecord.from_dict(POLYPS, data)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b'{"00001_A": NaN}',
        b'{"00001_A": {"execution": {"a": 1, "a": 2}, "selection": {}, "description": {}}}',
        b'{"1": {}}',
        b'{"00001_A": []}',
        b'{"00001_A": {"execution": {}, "selection": [], "description": {}}}',
        b'{"00001_A": ' + b"9" * 5_000 + b"}",
        b"[" * 5_000_000,
        b'{"a":' * 2_000_000,
    ],
    ids=lambda raw: raw[:12].decode("latin-1"),
)
def test_bytes_that_are_no_catalogue(raw):
    with pytest.raises(InvalidRecordError, match="mine"):
        parse_catalogue(raw, "mine")


def test_a_number_used_twice_is_a_fault():
    data = {"00007_A": record_data(), "00007_B": record_data()}
    with pytest.raises(InvalidRecordError, match="00007_A and 00007_B"):
        validate_catalogue(data, "mine")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InvalidRecordError, match="cannot be read"):
        read_catalogue(tmp_path / "none.json")
    with pytest.raises(InvalidRecordError, match="cannot be read"):
        read_catalogue(tmp_path)


def test_read_only_is_a_mapping():
    frozen = ReadOnly({"a": {"b": [1, {"c": 2}]}})
    assert frozen["a"]["b"][1]["c"] == 2
    assert len(frozen) == 1
    assert frozen == {"a": {"b": (1, {"c": 2})}}
    assert frozen.thawed() == {"a": {"b": [1, {"c": 2}]}}
