"""Secrets and patients are recognised by content; ordinary files are not taken for them."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file

from medmint.model_contributor import template_names
from medmint.model_contributor.sensitive import suspicion
from medmint.resources import template_folder


def check(tmp_path, name, content, **how):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return suspicion(path, **how)


SECRETS = {
    "key.txt": "-----BEGIN PRIVATE KEY-----\nMII",
    "ssh.md": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "a.py": 'push("ghp_' + "aB3" * 12 + '")',
    "b.py": "github_pat_" + "x" * 30,
    "c.sh": "hf_" + "a" * 34,
    "d.json": '{"aws": "AKIA' + "A" * 16 + '"}',
    "e.log": "Authorization: Bearer " + "abc.def" * 5,
    "f.txt": "https://zenodo.org/api?access_token=" + "a" * 40,
    "g.py": "zenodo_token = 'abcdefgh12345678abcdefgh'",
    "h.yml": 'api_key: "abcdefgh-12345678"',
    "i.cfg": "export SECRET=swordfish",
    "j.ini": "url = https://jane:swordfish@host.example/",
    "alone.txt": "aB3xY7" * 10 + "\n",
    "k.bin": b"\0\1\2" + b"glpat-" + b"x" * 24,
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_seen(tmp_path, name):
    found = check(tmp_path, name, SECRETS[name])
    assert found
    assert "swordfish" not in found


@pytest.mark.parametrize("name", [".env", ".env.local", "id_ed25519", "my.pem", ".netrc", "token"])
def test_a_name_is_enough(tmp_path, name):
    assert "name of a file for passwords" in check(tmp_path, name, "nothing")


def test_a_secret_far_inside_weights_is_seen(tmp_path):
    path = tmp_path / "weights.pt"
    settings = {"w": torch.zeros(300_000), "hub": "hf_" + "Q" * 34}
    torch.save(settings, path)
    assert suspicion(path, is_weights=True) == "holds a Hugging Face token"


INNOCENT = {
    "train.py": "tokens = tokenizer.encode(text)\npassword = getpass()\ntoken = None\n",
    "settings.py": 'API_KEY = os.environ["API_KEY_OF_THE_SERVICE"]\nTOKEN=$ZENODO_TOKEN\n',
    "docs.md": "Set ZENODO_ACCESS_TOKEN=<your token>. See https://user.example/path:1@2.",
    "card.md": "| task-specific | risk-adjusted-model-of-something-long |",
    "labels.csv": "file,label,age,sex,split\n1.png,polyp,50,F,train\n",
    "record.json": '{"training_data": {"name": "HyperKvasir", "patients": null}}',
    "hashes.txt": "0123456789abcdef" * 4 + "\n" + "0123456789abcdef" * 4 + "  a.zip\n",
    "sequence.txt": "ACGT" * 15 + "\n",
    "empty.txt": "",
}


@pytest.mark.parametrize("name", INNOCENT)
def test_ordinary_files_pass(tmp_path, name):
    assert check(tmp_path, name, INNOCENT[name]) == ""


@pytest.mark.parametrize("name", template_names())
def test_the_reference_packages_pass(name):
    for path in template_folder(name).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert suspicion(path) == "", path.name


def test_weights_of_all_kinds_pass(tmp_path):
    save_file({"w": np.zeros(9, np.float32)}, tmp_path / "a.safetensors")
    torch.save({"w": torch.zeros(9)}, tmp_path / "b.pt")
    np.savez(tmp_path / "c.npz", w=np.zeros(9))
    for path in tmp_path.iterdir():
        assert suspicion(path) == ""


DICOM = b"\x10\x00\x10\x00PN\x08\x00Doe^Jane"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.dcm", b"x"),
        ("DICOMDIR", b"x"),
        ("noending", bytes(128) + b"DICM" + DICOM),
        ("image.png", bytes(128) + b"DICM" + DICOM),
        ("bare", b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100" + DICOM),
        ("implicit", b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100" + DICOM),
    ],
)
def test_dicom_is_seen_whatever_it_is_called(tmp_path, name, content):
    found = check(tmp_path, name, content)
    assert "DICOM" in found
    assert "Doe" not in found


def nifti(order="<", magic=b"n+1\0", extension=b"", **fields):
    header = bytearray(352)
    header[:4] = struct.pack(f"{order}i", 348)
    header[344:348] = magic
    places = {"db_name": 14, "descrip": 148, "aux_file": 228, "patient_id": 283, "intent": 328}
    for name, text in fields.items():
        header[places[name] : places[name] + len(text)] = text.encode()
    if extension:
        header[348] = 1
    return bytes(header) + extension


def extension(code, text, order="<"):
    body = text.encode().ljust(24, b"\0")
    return struct.pack(f"{order}ii", 8 + len(body), code) + body


@pytest.mark.parametrize(
    "content",
    [
        nifti(db_name="JANE"),
        nifti(descrip="Patient: x"),
        nifti(descrip="Doe^Jane"),
        nifti(aux_file="Doe, Jane"),
        nifti(">", db_name="JANE"),
        nifti(extension=extension(2, "any")),
        nifti(extension=extension(6, "harmless") + extension(6, "birth 1960")),
        nifti(magic=bytes(4), patient_id="4711"),
    ],
)
@pytest.mark.parametrize("is_zipped", [False, True])
def test_a_header_that_names_someone_is_seen(tmp_path, content, is_zipped):
    name = "scan.nii.gz" if is_zipped else "scan.nii"
    found = check(tmp_path, name, gzip.compress(content) if is_zipped else content)
    assert "header" in found
    assert not {"Doe", "JANE", "4711"} & set(found.split())


@pytest.mark.parametrize(
    "content", [nifti(descrip="FSL5.0"), nifti(extension=extension(6, "made by a model")), nifti()]
)
def test_a_header_that_names_nobody_passes(tmp_path, content):
    assert check(tmp_path, "atlas.nii", content) == ""
    assert check(tmp_path, "atlas.nii.gz", gzip.compress(content)) == ""


def picture(kind, **how):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, kind, **how)
    return file.getvalue()


def png_with(key, value):
    info = PngInfo()
    info.add_itxt(key, value)
    return picture("PNG", pnginfo=info)


def exif(value):
    made = Image.Exif()
    made[0x010E] = value  # ImageDescription
    return made


def test_texts_of_pictures_are_read(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = "Doe^Jane"
    named = {
        "a.png": png_with("PatientName", "x"),
        "b.png": png_with("Comment", "Doe^Jane"),
        "c.jpg": picture("JPEG", exif=exif("Patient 7")),
        "d.tif": picture("TIFF", tiffinfo=tags),
        "e.png": picture("PNG")[:40],
    }
    for name, content in named.items():
        assert check(tmp_path, name, content), name
    unnamed = {
        "f.png": png_with("Software", "medmint"),
        "g.jpg": picture("JPEG"),
        "h.tif": picture("TIFF"),
    }
    for name, content in unnamed.items():
        assert check(tmp_path, name, content) == "", name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "file;Patient's Name\n"),
        ("b.tsv", "file\tdate_of_birth\n"),
        ("c.csv", "MRN,label\n"),
        ("d.json", '{"PatientID": "7"}'),
        ("e.nrrd", "NRRD0004\n# Patient: x\ndim: 2\n\n"),
        ("f.mha", "ObjectType = Image\nPatientName = x\n"),
    ],
)
def test_tables_and_text_headers_are_read(tmp_path, name, content):
    assert check(tmp_path, name, content)


def test_archives_are_not_looked_into_and_not_packed(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.dcm", "x")
    assert "is an archive" in check(tmp_path, "data.zip", file.getvalue())
    assert "is an archive" in check(tmp_path, "data.tgz", gzip.compress(b"x"))
    assert check(tmp_path, "weights.tar", file.getvalue(), is_weights=True) == ""
