"""From a folder to a published record and an issue, and from that issue to samples elsewhere."""

import json
import logging
import os
import signal
import subprocess
import sys
import traceback
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from medmint import Generators
from medmint.cli.main import main
from medmint.errors import (
    ArgumentError,
    DependencyError,
    InvalidRecordError,
    PublishError,
)
from medmint.model_contributor.announcement import record_in
from medmint.settings import Settings
from tests.fakes.deposits import ACTIONS, TOKEN, DepositZenodo
from tests.fakes.github import TOKEN as GITHUB_TOKEN
from tests.fakes.github import GitHub
from tests.packages.folders import PLAIN_ID, plain_package, sampler_package

REPOSITORY = "owner/models"
SAMPLER_ID = "90030_TEST_SAMPLER"
CANARY, GITHUB_CANARY = "canary-zenodo-4711", "canary-github-4712"
JANE = {"name": "Doe, Jane", "affiliation": "A University", "orcid": "0000-0002-1825-0097"}


@pytest.fixture
def zenodo():
    with DepositZenodo() as service:
        yield service


@pytest.fixture
def github():
    with GitHub() as service:
        service.add_repository(REPOSITORY)
        yield service


@pytest.fixture
def services(zenodo, github, tmp_path):
    """Settings that lead to the stand-ins."""
    return Settings(
        home=tmp_path / "home",
        zenodo_url=zenodo.url,
        zenodo_deposit_url=zenodo.url,
        github_url=github.url,
        github_repository=REPOSITORY,
    )


@pytest.fixture
def generators(services):
    with Generators(settings=services) as facade:
        yield facade


@pytest.fixture
def folder(tmp_path):
    return sampler_package(tmp_path / "my_sampler", SAMPLER_ID)


def send(generators, folder, **arguments):
    given = {"zenodo_access_token": TOKEN, "github_access_token": GITHUB_TOKEN, "publish": True}
    return generators.contribute(None, folder, **{**given, **arguments})


def issues(github):
    return github.repositories[REPOSITORY].issues


def writing(service):
    return [request for request in service.log if request.method != "GET"]


def take_in(text, services, tmp_path):
    """Return the facade of an empty machine whose catalogue has the record of an issue alone."""
    catalogue = tmp_path / "catalogue.json"
    catalogue.write_text(record_in(text), encoding="utf-8")
    elsewhere = replace(services, home=tmp_path / "another-home")
    return Generators(catalogue=catalogue, settings=elsewhere)


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_the_papers_snippet_ends_in_one_record_and_one_issue(
    generators, zenodo, github, services, tmp_path
):
    package = plain_package(tmp_path / "my_package", with_torch=True)
    contribution = generators.contribute(
        model_id=PLAIN_ID,
        init_py_path=package / "__init__.py",
        generate_method_name="generate",
        model_weights_name="my_weights",
        model_weights_extension=".pt",
        dependencies=["numpy", "torch"],
        zenodo_access_token=TOKEN,
        github_access_token=GITHUB_TOKEN,
        publish=True,
    )
    assert len(zenodo.published) == len(issues(github)) == 1
    assert contribution.advice == ""
    assert contribution.warnings == ("No creator is named: Zenodo will show 'unknown name'.",)
    (issue,) = issues(github)
    assert contribution.issue_url == issue["html_url"]
    assert [label["name"] for label in issue["labels"]] == ["model"]
    expected = generators.generate(PLAIN_ID, 3, save_images=False, seed=5)
    with take_in(issue["body"], services, tmp_path) as elsewhere:
        assert elsewhere.list_models() == [PLAIN_ID]
        assert same(elsewhere.generate(PLAIN_ID, 3, save_images=False, seed=5), expected)
        assert elsewhere.verify(PLAIN_ID) == contribution.sha256
    (number,) = zenodo.published
    assert zenodo.asked(rf"/records/{number}/files/{PLAIN_ID}\.zip")


def test_a_sampler_gives_the_same_samples_on_the_other_side(
    generators, github, services, folder, tmp_path
):
    send(generators, folder, creators=[JANE], assignees=["keeper"])
    expected = generators.generate(SAMPLER_ID, 4, save_images=False, seed=5)
    (issue,) = issues(github)
    assert [one["login"] for one in issue["assignees"]] == ["keeper"]
    with take_in(issue["body"], services, tmp_path) as elsewhere:
        assert same(elsewhere.generate(SAMPLER_ID, 4, save_images=False, seed=5), expected)


def test_the_record_on_zenodo_is_described_in_full(generators, zenodo, folder):
    evidence = {"validated": ["https://medmint.example/paper"]}
    fields = {
        "description.doi": ["10.1000/paper"],
        "description.evidence": evidence,
        "description.comment": "Draws <blobs> & more.",
        "selection.organ": ["colon"],
    }
    contribution = send(generators, folder, creators=[JANE], fields=fields)
    (draft,) = zenodo.drafts.values()
    described = draft.metadata
    assert described["creators"] == [JANE]
    assert described["license"] == "mit"
    assert described["version"] == "1.0.0"
    assert "colon" in described["keywords"]
    assert described["related_identifiers"] == [
        {"identifier": "10.1000/paper", "relation": "isSupplementTo"}
    ]
    assert "<p>Draws &lt;blobs&gt; &amp; more.</p>" in described["description"]
    assert "Is it validated? <a href" in described["description"]
    assert list(draft.files) == [f"{SAMPLER_ID}.zip"]
    record = contribution.record[SAMPLER_ID]
    assert record["description"]["evidence"] == evidence
    assert record["description"]["doi"] == ["10.1000/paper", f"10.5281/zenodo.{draft.number}"]


def test_a_second_call_does_nothing_twice(generators, zenodo, github, folder):
    first = send(generators, folder)
    written, steps = [len(writing(zenodo)), len(writing(github))], []
    again = send(generators, folder, tell=steps.append)
    assert [len(writing(zenodo)), len(writing(github))] == written
    assert (again.sha256, again.page, again.issue_url) == (
        first.sha256,
        first.page,
        first.issue_url,
    )
    assert again.checks == first.checks
    # What was tested and packed is not tested again.
    assert not {"import", "test", "package"} & set(steps)


def test_nothing_is_published_without_a_word(generators, zenodo, github, folder):
    draft = send(generators, folder, publish=False)
    assert (zenodo.published, issues(github)) == ([], [])
    assert "publish=True" in draft.advice
    assert draft.page in draft.advice
    published = send(generators, folder)
    assert published.is_published
    assert list(zenodo.drafts) == zenodo.published == [draft.deposited.number]


def test_a_call_goes_on_after_a_fault(generators, zenodo, github, folder, tmp_path):
    github.repositories[REPOSITORY].has_issues = False
    with pytest.raises(PublishError, match="takes no issues") as caught:
        send(generators, folder)
    assert caught.value.status == 410
    assert len(zenodo.published) == 1
    github.repositories[REPOSITORY].has_issues = True
    with Generators(settings=generators.settings) as another:
        assert send(another, folder).issue_url == issues(github)[0]["html_url"]
    assert len(zenodo.published) == 1


def test_without_tokens_there_are_files_and_instructions(generators, zenodo, github, folder):
    contribution = generators.contribute(None, folder, publish=True)
    assert zenodo.log == github.log == []
    assert f"{zenodo.url}/uploads/new" in contribution.advice
    assert f"/{REPOSITORY}/issues/new?title=" in contribution.advice
    names = {path.name for path in contribution.folder.iterdir()}
    texts = {"record.json", "zenodo.json", "issue.md", "NEXT_STEPS.txt", "metadata.json"}
    assert names == {f"{SAMPLER_ID}.zip", "samples.png", *texts}
    record = json.loads((contribution.folder / "record.json").read_text())[SAMPLER_ID]
    assert record["execution"]["sha256"] == contribution.sha256
    assert "RECORD_NUMBER" in record["execution"]["package_link"]


def test_without_a_repository_it_ends_after_zenodo(zenodo, github, services, folder):
    with Generators(settings=replace(services, github_repository=None)) as generators:
        contribution = send(generators, folder)
    assert contribution.is_published
    assert github.log == []
    assert "send issue.md" in contribution.advice
    assert str(zenodo.published[0]) in (contribution.folder / "issue.md").read_text()


def test_a_dry_run_asks_nobody_and_leaves_nothing_elsewhere(
    generators, zenodo, github, folder, tmp_path
):
    (folder / ".hidden").write_text("x", encoding="utf-8")
    before = {path.name for path in tmp_path.iterdir()}
    out = tmp_path / "out"
    contribution = send(generators, folder, dry_run=True, output_path=out)
    assert zenodo.log == github.log == []
    assert {path.name for path in tmp_path.iterdir()} - before == {"out"}
    assert contribution.left_out == (".hidden",)
    assert contribution.warnings == (
        "title, comment, intended_use, limits in metadata.json: still those of "
        "90001_MINIMAL_SAMPLER, say what is true of this model.",
    )
    assert contribution.deposited is None
    assert {f"{SAMPLER_ID}.zip", "record.json", "issue.md"} <= {p.name for p in out.iterdir()}


def test_only_words_of_the_original_are_named(generators, folder):
    path = folder / "metadata.json"
    text = json.loads(path.read_text(encoding="utf-8"))
    text[SAMPLER_ID]["description"] |= {"title": "Blobs", "comment": "", "limits": "Blobs alone."}
    path.write_text(json.dumps(text), encoding="utf-8")
    contribution = send(generators, folder, dry_run=True, output_path=folder.parent / "out")
    (warning,) = contribution.warnings
    assert warning.startswith("intended_use in metadata.json: still those of 90001_")


def test_weights_under_another_licence_than_their_data_are_named(generators, folder):
    path = folder / "metadata.json"
    text = json.loads(path.read_text(encoding="utf-8"))
    text[SAMPLER_ID]["description"]["training_data"] = {"name": "x", "license": "proprietary"}
    path.write_text(json.dumps(text), encoding="utf-8")
    contribution = send(generators, folder, dry_run=True, output_path=folder.parent / "out")
    assert any(
        "data are under 'proprietary', the weights under" in w for w in contribution.warnings
    )


def test_a_dry_run_names_unmet_requirements_and_runs_all_the_same(generators, folder):
    contribution = generators.contribute(
        None,
        folder,
        dependencies=["numpy", "safetensors", "no-such-package>=1"],
        dry_run=True,
        output_path=folder.parent / "out",
    )
    assert "not met here: no-such-package>=1" in contribution.warnings
    assert contribution.checks


def test_a_real_call_after_a_dry_one_is_a_real_one(generators, folder, services):
    needs = ["numpy", "safetensors", "no-such-package>=1"]
    out = folder.parent / "out"
    generators.contribute(None, folder, dependencies=needs, dry_run=True, output_path=out)
    assert SAMPLER_ID not in generators.list_models()
    with pytest.raises(DependencyError, match="no-such-package"):
        generators.contribute(None, folder, dependencies=needs, output_path=out)
    generators.contribute(None, folder, output_path=out)
    assert SAMPLER_ID in Generators(settings=services).list_models()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("step", ["metadata", "test", "package", "Zenodo", "GitHub"])
def test_a_killed_call_is_made_again(generators, zenodo, github, services, folder, step):
    names = ("home", "zenodo_url", "zenodo_deposit_url", "github_url", "github_repository")
    variables = {f"MEDMINT_{name.upper()}": str(getattr(services, name)) for name in names}
    tokens = {"ZENODO_ACCESS_TOKEN": TOKEN, "GITHUB_TOKEN": GITHUB_TOKEN}
    with subprocess.Popen(
        [sys.executable, "-m", "medmint.cli", "contribute", folder, "--yes"],
        env=os.environ | variables | tokens,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        for line in process.stderr:
            if line == f"{step} ...\n":
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    contribution = send(generators, folder)
    assert zenodo.published == list(zenodo.drafts) == [contribution.deposited.number]
    assert zenodo.in_vain == zenodo.uploaded_again == []
    assert len(issues(github)) == 1


def test_a_changed_package_becomes_a_new_version(generators, zenodo, folder):
    first = send(generators, folder)
    (folder / "notes.txt").write_text("Another one.", encoding="utf-8")
    with pytest.raises(PublishError, match="new_version_of"):
        send(generators, folder)
    again = send(generators, folder, new_version_of=first.deposited.number)
    assert zenodo.published == [first.deposited.number, again.deposited.number]
    assert again.sha256 != first.sha256


def test_the_sandbox_has_a_journal_and_a_token_of_its_own(generators, zenodo, folder, monkeypatch):
    monkeypatch.setenv("ZENODO_ACCESS_TOKEN", "not this one")
    monkeypatch.setenv("ZENODO_SANDBOX_ACCESS_TOKEN", TOKEN)
    sandboxed = generators.contribute(None, folder, sandbox=True)
    assert sandboxed.deposited.number in zenodo.drafts
    assert (folder.parent / f".{folder.name}.sandbox.json").is_file()
    assert not (folder.parent / f".{folder.name}.contribution.json").exists()


@pytest.mark.parametrize("token", ["wrong", "scope-less"])
def test_a_bad_token_is_named_by_step_and_status(generators, zenodo, folder, token):
    zenodo.tokens["scope-less"] = {ACTIONS}
    with pytest.raises(PublishError, match="deposit:write") as caught:
        send(generators, folder, zenodo_access_token=token)
    assert caught.value.status == 403
    assert caught.value.service == "Zenodo"
    assert caught.value.step


def test_a_wrong_orcid_is_seen_before_anything_is_run(generators, zenodo, folder):
    steps = []
    wrong = {**JANE, "orcid": "0000-0002-1825-0098"}
    with pytest.raises(InvalidRecordError, match="orcid"):
        send(generators, folder, creators=[wrong], tell=steps.append)
    assert steps == ["code", "metadata"]
    assert zenodo.log == []


@pytest.mark.parametrize(
    "creators",
    [
        *([{"nam": "x"}], [7], [{"name": "x", "age": "7"}], [{"name": 7}]),
        *("Doe, Jane", {"name": "Doe, Jane"}, 7, [{"name": "x", "orcid": 7}]),
    ],
)
def test_creators_that_are_none_are_refused(generators, folder, creators):
    with pytest.raises(ArgumentError, match="creators"):
        send(generators, folder, creators=creators)


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        *(("publish", given) for given in ("no", 0, None)),
        *(("dry_run", given) for given in ("no", 1)),
        *(("new_version_of", given) for given in ("12", 0, -1, True, 1.5)),
        *(("assignees", given) for given in ("jane", 5, [5])),
        *(("allow", given) for given in (".env", 5, [5])),
        *(("dependencies", given) for given in ("numpy", 5)),
        *(("fields", given) for given in (5, ["selection.license"])),
        *(("output_path", given) for given in (5, "", "a\0b", "~nobody-at-all/x")),
        *(("metadata_file_path", given) for given in (5, "", "~nobody-at-all/x")),
        *(("zenodo_access_token", given) for given in (5, b"x")),
        ("creator_name", 5),
        ("creator_affiliation", None),
        ("model_description", 5),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_sent(
    generators, zenodo, folder, tmp_path, argument, given
):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArgumentError, match=f"{argument}: got "):
        send(generators, folder, **{argument: given})
    assert zenodo.log == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("repository", ["models", "a/b/c", "https://github.com/a/b", "a b/c"])
def test_a_repository_that_is_none_is_seen_before_anything_is_published(
    services, zenodo, folder, repository
):
    wrong = replace(services, github_repository=repository)
    with (
        Generators(settings=wrong) as facade,
        pytest.raises(ArgumentError, match=r"MEDMINT_GITHUB_REPOSITORY: got .* owner/name"),
    ):
        send(facade, folder)
    assert zenodo.log == []


@pytest.mark.parametrize("given", [0, "3", 1.5, 10**20, True])
def test_as_many_samples_are_tested_as_memory_holds(generators, given):
    with pytest.raises(ArgumentError, match="num_samples: got "):
        generators.test_model(10001, num_samples=given)


@pytest.mark.parametrize("place", [5, b"pkg", "", "a\0b", "~nobody-at-all", None, "nowhere"])
def test_what_is_no_package_is_refused(generators, place):
    with pytest.raises(ArgumentError, match="init_py_path: got "):
        send(generators, place)


@pytest.mark.family("R18")
def test_no_token_is_seen_anywhere_but_in_its_header(
    generators, zenodo, github, folder, caplog, capfd
):
    zenodo.tokens[CANARY], github.tokens[GITHUB_CANARY] = zenodo.tokens[TOKEN], "jane"
    caplog.set_level(logging.DEBUG)
    tokens = {"zenodo_access_token": CANARY, "github_access_token": GITHUB_CANARY}
    github.repositories[REPOSITORY].has_issues = False
    with pytest.raises(PublishError) as caught:
        send(generators, folder, **tokens)
    github.repositories[REPOSITORY].has_issues = True
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    contribution = send(generators, folder, **tokens)
    printed = capfd.readouterr()
    texts = [str(frame.locals) for frame in frames if frame.filename != __file__]
    texts += [str(caught.value), repr(contribution), caplog.text, printed.out, printed.err]
    for request in zenodo.log + github.log:
        others = {k: v for k, v in request.headers.items() if k != "authorization"}
        texts += [request.target, str(others), request.body.decode("latin-1")]
    texts += [p.read_bytes().decode("latin-1") for p in folder.parent.rglob("*") if p.is_file()]
    assert not [text for text in texts if CANARY in text or GITHUB_CANARY in text]


def test_each_step_can_be_called_by_itself(generators, zenodo, github, folder):
    contributor = generators.add_model_contributor(SAMPLER_ID, folder / "__init__.py")
    assert generators.get_model_contributor_by_id(SAMPLER_ID) is contributor
    assert generators.add_model_contributor(SAMPLER_ID) is contributor
    metadata = generators.add_metadata_from_file(SAMPLER_ID, folder)
    assert set(metadata) == {SAMPLER_ID}
    report = generators.test_model(SAMPLER_ID, num_samples=2)
    assert len(report.samples["image"]) == 2
    assert any("environment of its own" in check for check in report.checks)
    assert SAMPLER_ID in generators.list_models()
    with pytest.raises(ArgumentError, match="package_link"):
        generators.push_to_github(SAMPLER_ID, GITHUB_TOKEN)
    page = generators.push_to_zenodo(SAMPLER_ID, TOKEN, "Doe, Jane", publish=True)
    assert page == f"{zenodo.url}/records/{zenodo.published[0]}"
    url = generators.push_to_github(SAMPLER_ID, GITHUB_TOKEN)
    assert url == issues(github)[0]["html_url"]
    assert generators.push_to_github(SAMPLER_ID, GITHUB_TOKEN) == url
    assert len(issues(github)) == 1


def test_metadata_from_input_asks_only_who_may_be_asked(generators, tmp_path):
    folder = plain_package(tmp_path / "plain")
    generators.add_model_contributor(PLAIN_ID, folder)
    asked = []

    def answer(question):
        asked.append(question.path)
        return "colon, bowel" if question.path == "selection.organ" else ""

    arguments = ("my_weights", ".npz", "generate", ["numpy"])
    silent = generators.add_metadata_from_input(PLAIN_ID, *arguments)[PLAIN_ID]
    assert "organ" not in silent["selection"]
    assert silent["execution"]["image_size"] == [16, 16]
    assert silent["execution"]["generate_method"]["args"]["custom"] == {"steepness": 1.0}
    assert silent["selection"]["license"] == "MIT"
    told = generators.add_metadata_from_input(
        PLAIN_ID, *arguments, output_path=tmp_path / "config", ask=answer
    )
    assert "selection.organ" in asked
    assert told[PLAIN_ID]["selection"]["organ"] == ["colon", "bowel"]
    written = json.loads((tmp_path / "config" / f"{PLAIN_ID}.json").read_text())
    assert written == told


class TestCommandLine:
    @pytest.fixture
    def command(self, services, tmp_path, monkeypatch, capsys):
        """Run a command against the stand-ins; return its exit code and what it printed."""
        monkeypatch.chdir(tmp_path)
        for name in ("home", "zenodo_url", "zenodo_deposit_url", "github_url", "github_repository"):
            monkeypatch.setenv(f"MEDMINT_{name.upper()}", str(getattr(services, name)))

        def run(*arguments):
            code = main([str(argument) for argument in arguments])
            return code, capsys.readouterr().out

        return run

    @pytest.fixture
    def tokens(self, monkeypatch):
        monkeypatch.setenv("ZENODO_ACCESS_TOKEN", TOKEN)
        monkeypatch.setenv("GITHUB_TOKEN", GITHUB_TOKEN)

    def test_a_template_becomes_a_published_model(self, command, tokens, zenodo, github, tmp_path):
        code, text = command("template", "minimal", "mine", "--id", SAMPLER_ID)
        assert (code, text.split()[0]) == (0, SAMPLER_ID)
        creator = "Doe, Jane; A University; 0000-0002-1825-0097"
        code, text = command("contribute", "mine", "--yes", "--creator", creator, "--json")
        facts = json.loads(text)
        assert (code, facts["published"]) == (0, True)
        assert facts["issue"] == issues(github)[0]["html_url"]
        assert zenodo.drafts[zenodo.published[0]].metadata["creators"] == [JANE]
        code, text = command("contribute", "mine", "--status", "--json")
        assert {"pack", "deposit", "publish", "announce"} <= set(json.loads(text))
        (tmp_path / "issue.md").write_text(issues(github)[0]["body"], encoding="utf-8")
        code, text = command("check-record", "issue.md")
        assert (code, f"**{SAMPLER_ID}** passes." in text) == (0, True)

    def test_a_draft_is_abandoned(self, command, tokens, zenodo, folder):
        assert command("contribute", folder)[0] == 0
        (number,) = zenodo.drafts
        assert command("contribute", folder, "--abandon") == (0, f"draft {number} is deleted\n")
        assert zenodo.drafts == {}
        assert command("contribute", folder, "--status")[1].startswith("nothing is done yet")

    def test_abandoning_without_a_draft_needs_no_token(self, command, folder):
        assert command("contribute", folder)[0] == 0
        text = command("contribute", folder, "--abandon")[1]
        assert text == "forgotten; there was no draft\n"

    @pytest.mark.parametrize("step", ["--status", "--abandon"])
    def test_of_what_is_no_package_nothing_is_said(self, command, folder, tmp_path, step):
        assert command("contribute", tmp_path / "nowhere", step) == (2, "")
        assert command("contribute", folder)[0] == 0
        assert command("contribute", folder / "__init__.py", "--status")[1].startswith("pack: ")

    def test_tokens_come_by_standard_input(self, command, zenodo, folder, monkeypatch):
        lines = iter([f"{TOKEN}\n", "\n"])
        monkeypatch.setattr("sys.stdin.readline", lambda: next(lines), raising=False)
        assert command("contribute", folder, "--token-stdin")[0] == 0
        assert len(zenodo.drafts) == 1

    def test_questions_are_asked_on_the_terminal_alone(self, command, folder, monkeypatch):
        monkeypatch.setattr("sys.stdin.readline", lambda: "one, two\n", raising=False)
        arguments = ("--interactive", "--dry-run", "--output", "out", "--json")
        code, _ = command("contribute", folder, *arguments)
        assert code == 2  # a number of patients is none
        answers = iter(["7\n"] * 100)
        monkeypatch.setattr("sys.stdin.readline", lambda: next(answers), raising=False)
        assert command("contribute", folder, *arguments)[0] == 0
        record = json.loads((folder.parent / "out" / "record.json").read_text())[SAMPLER_ID]
        assert record["description"]["evidence"]["validated"] == ["7"]

    def test_answers_are_kept_for_the_call_that_publishes(
        self, command, tokens, zenodo, folder, monkeypatch
    ):
        monkeypatch.setattr("sys.stdin.readline", lambda: "7\n", raising=False)
        assert command("contribute", folder, "--interactive")[0] == 0
        (draft,) = zenodo.drafts.values()
        files = dict(draft.files)
        assert command("contribute", folder, "--yes")[0] == 0
        assert (draft.submitted, draft.files) == (True, files)
        assert "<strong>Limits:</strong> Draws blobs" in draft.metadata["description"]
        assert "Is it validated? 7" in draft.metadata["description"]

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"package_link": "/home/jane/model"}, "on one machine alone"),
            ({"package_link": "https://zenodo.org/records/7"}, "is a page, not the file"),
            ({"package_link": "https://zenodo.org/records/RECORD_NUMBER/x.zip"}, "replaced by"),
            ({"sha256": None}, "sha256"),
            ({"size_bytes": "7"}, "size_bytes"),
            ({"sha256": "0" * 64}, "sha256"),
            ({"colour": "red"}, "does not know this key"),
        ],
    )
    def test_a_bad_record_is_not_taken_in(self, command, tokens, folder, tmp_path, change, fault):
        command("contribute", folder, "--yes", "--output", "out")
        record = json.loads((tmp_path / "out" / "record.json").read_text())
        execution = record[SAMPLER_ID]["execution"]
        execution |= change
        for name in [name for name, value in change.items() if value is None]:
            del execution[name]
        (tmp_path / "bad.json").write_text(json.dumps(record), encoding="utf-8")
        code, text = command("check-record", "bad.json")
        assert code == 2
        assert "cannot be taken in yet" in text
        assert fault in text

    def test_a_file_without_a_record_is_no_record(self, command, tmp_path):
        (tmp_path / "issue.md").write_text("Hello, take my model.", encoding="utf-8")
        assert command("check-record", "issue.md")[0] == 2
        assert command("check-record", "nothing.md")[0] == 2


def test_the_same_input_gives_the_same_archive(generators, folder, tmp_path):
    archives = []
    for name in ("one", "two"):
        contribution = generators.contribute(
            None, folder, dry_run=True, output_path=tmp_path / name
        )
        archives.append(contribution.archive.read_bytes())
    assert archives[0] == archives[1]
    with zipfile.ZipFile(tmp_path / "one" / f"{SAMPLER_ID}.zip") as archive:
        packed = json.loads(archive.read("metadata.json"))[SAMPLER_ID]
    assert packed["execution"]["package_link"] == f"{SAMPLER_ID}.zip"
    assert str(tmp_path) not in json.dumps(packed)
