import pytest

from medmint.model_selector.matching import (
    SYNONYMS,
    near_spellings,
    singular,
    terms,
    text_matches,
    words,
)


@pytest.mark.parametrize("group", SYNONYMS, ids=lambda group: group[0])
def test_synonyms_mean_the_same_both_ways(group):
    for one in group:
        for other in group:
            assert text_matches(one, other), (one, other)


def test_a_term_belongs_to_one_group():
    every = [term for group in SYNONYMS for term in group]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("full field", "Full-field digital"),
        ("wgangp", "WGAN-GP"),
        ("WGAN-GP", "WGANGP"),
        ("tumours", "Brain Tumor"),
        ("Frechet", "Fréchet distance"),
        ("x-rays of the chest", "Chest radiograph"),
        ("endo", "gastrointestinal endoscopy"),
    ],
)
def test_what_matches(query, text):
    assert text_matches(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [("gan", "organ"), ("ct", "ectopic"), ("12", "128"), ("mass", "brass"), ("--", "anything")],
)
def test_what_does_not_match(query, text):
    assert not text_matches(query, text)


@pytest.mark.parametrize("word", ["masses", "images", "biopsies", "boxes", "polyps", "gans"])
def test_singular_of_a_singular_is_itself(word):
    assert singular(singular(word)) == singular(word) != word


def test_near_spellings_are_one_edit_away():
    known = {"endoscopy", "mammography"}
    for wrong in ("endoscpy", "endooscopy", "endoscoyp", "endoscopi"):
        assert near_spellings(wrong, known) == {"endoscopy"}
    assert near_spellings("endscpy", known) == set()
    assert near_spellings("1281", {"128", "1280"}) == set()


def test_fillers_alone_are_kept():
    assert terms("the", ()) == ["the"]
    assert terms("of the breast", ()) == ["breast"]


def test_words_of_nothing():
    assert words("") == words("-- _ !") == set()
    assert terms("?!", ()) == []
