import copy
import dataclasses
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmint.errors import ArgumentError
from medmint.publishing import Token, github_token, zenodo_token

SECRET = "s3cret-value"


@dataclasses.dataclass
class Holder:
    token: Token


def test_a_token_shows_nowhere(caplog):
    token = Token(SECRET)
    logging.getLogger("test").warning("%s %r %s", token, token, [token])
    texts = [str(token), repr(token), f"{token}", f"{token!r:>20}", str(Holder(token)), caplog.text]
    assert not [text for text in texts if SECRET in text]
    assert token.reveal() == SECRET


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_token_is_not_copied_into_bytes(how):
    with pytest.raises(TypeError, match="not pickled") as caught:
        how(Token(SECRET))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_token_has_no_variables_to_look_at():
    token = Token(SECRET)
    assert not hasattr(token, "__dict__")
    with pytest.raises(AttributeError):
        token.note = "more"


@pytest.mark.parametrize("value", ["", " \n", f"{SECRET} x", f"{SECRET}\r\nX: y", f"{SECRET}é"])
def test_what_cannot_stand_in_a_header_is_refused_and_not_shown(value):
    with pytest.raises(ArgumentError, match="zenodo_access_token") as caught:
        zenodo_token(value)
    assert SECRET not in f"{caught.value} {vars(caught.value)}"


def test_a_pasted_file_is_refused():
    with pytest.raises(ArgumentError, match="2000 characters"):
        Token("x" * 2000)


def test_white_space_around_it_is_dropped():
    assert Token(f" {SECRET}\n").reveal() == SECRET


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), st.text())
def test_no_text_holds_a_token_after_it_was_scrubbed(secret, words):
    scrubbed = Token(secret).scrub(f"{words}{secret}{words}")
    assert secret not in scrubbed.replace("<token>", "")


ENVIRONMENT = {
    "ZENODO_ACCESS_TOKEN": "of-zenodo",
    "ZENODO_SANDBOX_ACCESS_TOKEN": "of-the-sandbox",
    "GITHUB_TOKEN": "of-github",
    "GH_TOKEN": "of-gh",
}


def test_each_service_has_a_token_of_its_own():
    def revealed(found):
        return found.reveal() if found else None

    assert revealed(zenodo_token(None, environment=ENVIRONMENT)) == "of-zenodo"
    assert revealed(zenodo_token(None, sandbox=True, environment=ENVIRONMENT)) == "of-the-sandbox"
    assert revealed(github_token(None, environment=ENVIRONMENT)) == "of-github"
    assert revealed(github_token(None, environment={"GH_TOKEN": "of-gh"})) == "of-gh"
    assert zenodo_token(None, sandbox=True, environment={"ZENODO_ACCESS_TOKEN": "x"}) is None
    assert github_token(None, environment={"GITHUB_TOKEN": " "}) is None


def test_what_is_given_comes_before_the_environment():
    token = Token("given")
    assert zenodo_token(token, environment=ENVIRONMENT) is token
    assert zenodo_token("given", environment=ENVIRONMENT).reveal() == "given"


def test_the_environment_of_the_process_is_asked(monkeypatch):
    assert github_token(None) is None
    monkeypatch.setenv("GITHUB_TOKEN", "g")
    assert github_token(None).reveal() == "g"


@pytest.mark.parametrize("value", [5, b"s3cret", ["s3cret"], True])
def test_what_is_no_text_is_no_token(value):
    with pytest.raises(
        ArgumentError, match=r"zenodo_access_token: got .*, expected a text"
    ) as caught:
        zenodo_token(value)
    assert "s3cret" not in str(caught.value)
