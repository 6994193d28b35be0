"""A report reads as a table, is strict JSON, and one page that needs nothing else."""

import base64
import io
import json
from html.parser import HTMLParser

import pytest
from PIL import Image

from medmint.errors import ArgumentError, WriterError
from medmint.metrics.comparison import Interval
from medmint.model_evaluator.report import Report
from medmint.model_evaluator.rows import Picture, Row
from medmint.model_evaluator.several import ModelComparison


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 10, 10)).save(buffer, "png")
    return buffer.getvalue()


INTERVAL = Interval(low=1.0, high=2.0, unit="patient", units=7, method="half-samples")
REPORT = Report(
    subject="10002_X <script>",
    rows=(
        Row(metric="kid[x]", value=1.5, n=40, better="lower", interval=INTERVAL, real_real=0.1),
        Row(metric="rFID", value=float("nan"), n=20, better="higher"),
    ),
    findings=("copies & more",),
    warnings=("few images",),
    failures={"privacy": "no training images"},
    provenance={"medmint": "0.1.0", "seed": 7, "n": 40, "real": {"sha256": "ab"}},
    details={"kid[x]": {"halves": [float("inf"), 1.0]}},
    pictures=(Picture(name="grids", caption='a "grid"', png=png()),),
)


class Tags(HTMLParser):
    """Collects tags and their attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags_of(path):
    parser = Tags()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.found


def test_printed_it_is_a_table_with_findings_warnings_and_failures():
    text = str(REPORT)
    assert "kid[x]" in text
    assert "1 to 2" in text
    assert "7 patients" in text
    assert "undefined" in text
    for line in ("- copies & more", "- few images", "- privacy: no training images"):
        assert line in text


def test_json_is_strict_and_holds_everything_but_pictures(tmp_path):
    REPORT.save_json(tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["rows"][0]["interval"]["units"] == 7
    assert content["rows"][1]["value"] is None
    assert content["details"] == {"kid[x]": {"halves": [None, 1.0]}}
    assert content["provenance"]["seed"] == 7
    assert "pictures" not in content


def test_the_page_loads_nothing_and_runs_nothing(tmp_path):
    page = REPORT.save_html(tmp_path / "report.html")
    tags = tags_of(page)
    assert "script" not in {tag for tag, _ in tags}
    assert not {tag for tag, _ in tags} & {"link", "iframe", "object"}
    (image,) = [attributes for tag, attributes in tags if tag == "img"]
    kind, data = image["src"].split(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (4, 4)
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace(data, "")
    assert "copies &amp; more" in text
    assert "&lt;script&gt;" in text
    assert "7 patients" in text


@pytest.mark.parametrize(
    ("metrics", "claim"),
    [
        (["kid[x]"], "Missing variety: not looked for. Copies: not looked for."),
        (["recall[x]", "kid[x]"], "Missing variety: none found. Copies: not looked for."),
        (["copied_share[pixels]"], "Missing variety: not looked for. Copies: none found."),
    ],
)
def test_the_page_claims_no_more_than_was_looked_for(tmp_path, metrics, claim):
    rows = tuple(Row(metric=name, value=0.5, n=4, better="neither") for name in metrics)
    page = Report(subject="x", rows=rows).save_html(tmp_path / "report.html")
    assert claim in page.read_text(encoding="utf-8")


def test_a_folder_gets_both(tmp_path):
    REPORT.save(tmp_path / "new" / "folder")
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == ["report.html", "report.json"]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(WriterError):
        REPORT.save(tmp_path / "file")
    with pytest.raises(WriterError):
        REPORT.save_json(tmp_path / "missing" / "report.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_row_is_found_by_name():
    assert REPORT.row("kid[x]").value == 1.5
    with pytest.raises(ArgumentError, match=r"kid\[x\], rFID"):
        REPORT.row("fid")


def test_numbers_go_into_a_record_beside_what_they_depend_on(tmp_path):
    record = {"execution": {}, "selection": {"performance": {"FID": 3.0, "kid[x]": 9.0}}}
    path = tmp_path / "metadata.json"
    for content in (record, {"10002_X": record}):
        path.write_text(json.dumps(content))
        REPORT.write_record(path)
        written = json.loads(path.read_text())
        inner = written.get("10002_X", written)
        performance = inner["selection"]["performance"]
        assert performance["FID"] == 3.0
        assert performance["kid[x]"] == 1.5
        assert "rFID" not in performance
        assert performance["evaluation"]["seed"] == 7
    assert record["selection"]["performance"]["kid[x]"] == 9.0


@pytest.mark.parametrize("content", ["no json", "[1]"])
def test_a_file_that_is_no_record_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "metadata.json"
    path.write_text(content)
    with pytest.raises(ArgumentError, match="record"):
        REPORT.write_record(path)
    assert path.read_text() == content
    with pytest.raises(ArgumentError, match="record"):
        REPORT.write_record(tmp_path / "missing.json")


def test_markdown_is_for_a_model_card():
    header, rule, first, _ = REPORT.to_markdown().splitlines()
    assert header.count("|") == rule.count("|") == first.count("|")
    assert first.startswith("| kid[x] | 1.5 | 1 to 2 | 7 patients | 40 |")


def test_a_comparison_of_models_is_saved_with_all_reports(tmp_path):
    found = ModelComparison(reports={"a": REPORT, "b": REPORT}, failures={"c": "it <failed>"})
    page = found.save(tmp_path / "all")
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"a", "b", "comparison.html"}
    assert "it &lt;failed&gt;" in page.read_text()
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.rows()[0]["kid[x]"] == 1.5


def test_paths_may_be_text_everywhere(tmp_path):
    assert REPORT.save(f"{tmp_path}/a") == tmp_path / "a" / "report.html"
    assert REPORT.save_json(f"{tmp_path}/b.json").is_file()
    (tmp_path / "metadata.json").write_text('{"selection": {}}')
    assert REPORT.write_record(f"{tmp_path}/metadata.json").is_file()
    both = ModelComparison(reports={"10002_X": REPORT}, failures={})
    assert both.save(f"{tmp_path}/both") == tmp_path / "both" / "comparison.html"
    with pytest.raises(ArgumentError, match="folder"):
        REPORT.save(5)
