"""Words of queries and records, and when two of them mean the same.

A value such as ``x-ray`` is taken apart into words in a normal form: folded case, no accents,
singular. Words of one group of :data:`SYNONYMS` are one word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Container, Iterator

#: Terms that mean the same; the first of each group stands for all. Extend it freely.
SYNONYMS = (
    ("mammography", "mammogram", "mammographic", "mmg"),
    ("xray", "x ray", "radiograph", "radiography", "radiogram"),
    ("mri", "magnetic resonance", "magnetic resonance imaging", "mr imaging", "mr image"),
    ("ct", "computed tomography", "computerised tomography", "computerized tomography"),
    ("endoscopy", "endoscopic"),
    ("roi", "region of interest", "regions of interest"),
    ("tumor", "tumour"),
    ("gray", "grey"),
    ("heart", "cardiac"),
    ("lung", "pulmonary"),
    ("brain", "cerebral"),
    ("ageing", "aging"),
    ("pggan", "progan", "progressively growing gan", "progressive gan"),
    ("gan", "generative adversarial network"),
)
#: Words that say nothing by themselves.
_FILLERS = frozenset({"a", "an", "and", "for", "in", "of", "the", "to", "with"})
_TOKEN = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
#: Shorter beginnings and misspellings of shorter words would match nearly anything.
SHORTEST_PREFIX = 3
_SHORTEST_MISSPELT = 5


def singular(word: str) -> str:
    """Return the singular of an English word, by its ending.

    Examples
    --------
    >>> [singular(word) for word in ("masses", "biopsies", "polyps", "mass", "axis")]
    ['mass', 'biopsy', 'polyp', 'mass', 'axis']
    """
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word.removesuffix("s")


#: Every term in its normal form, and the word that stands for its group.
_TERMS = {" ".join(map(singular, term.split())): group[0] for group in SYNONYMS for term in group}
_LONGEST_PHRASE = max(term.count(" ") + 1 for term in _TERMS)


def fold(text: str) -> str:
    """Return text without case and accents.

    Examples
    --------
    >>> fold("Fréchet")
    'frechet'
    """
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))


def tokens(text: str) -> list[str]:
    """Return the pieces of a text between spaces and punctuation; hyphens stay inside.

    Examples
    --------
    >>> tokens("Full-field X-rays (MMG)")
    ['full-field', 'x-rays', 'mmg']
    """
    return _TOKEN.findall(fold(text))


def forms(token: str) -> set[str]:
    """Return the words under which a token is to be found.

    Examples
    --------
    >>> sorted(forms("x-rays"))
    ['ray', 'x', 'xray']
    """
    found = {singular(part) for part in token.split("-")}
    found.add(singular(token.replace("-", "")))
    return found | {_TERMS[word] for word in found if word in _TERMS}


def words(text: str) -> set[str]:
    """Return all words under which a text is to be found."""
    return set().union(*map(forms, tokens(text)))


def terms(text: str, vocabulary: Container[str]) -> list[str]:
    """Return the words that a query asks for; all of them are to be found.

    Examples
    --------
    >>> terms("magnetic resonance of the x-rayed breasts", ())
    ['mri', 'x', 'rayed', 'breast']
    """
    line: list[str] = []
    for token in tokens(text):
        joined = singular(token.replace("-", ""))
        known = joined in _TERMS or joined in vocabulary
        line += [joined] if known else map(singular, token.split("-"))
    wanted = []
    while line:
        phrase = _first_phrase(line)
        wanted.append(_TERMS.get(phrase, phrase))
        del line[: phrase.count(" ") + 1]
    telling = [word for word in wanted if word not in _FILLERS]
    return list(dict.fromkeys(telling or wanted))


def phrases(term: str) -> list[list[str]]:
    """Return the synonyms of a word that are several words, as lists of words.

    Examples
    --------
    >>> phrases("ct")[0]
    ['computed', 'tomography']
    """
    same = (phrase for phrase, stands_for in _TERMS.items() if stands_for == term)
    return [phrase.split() for phrase in same if " " in phrase]


def canonical_of_prefix(prefix: str) -> set[str]:
    """Return the words that stand for synonyms which begin like this.

    Examples
    --------
    >>> canonical_of_prefix("radiog")
    {'xray'}
    """
    return {stands_for for term, stands_for in _TERMS.items() if term.startswith(prefix)}


def near_spellings(word: str, vocabulary: Collection[str]) -> set[str]:
    """Return known words that are one letter, or one swap of letters, away.

    Examples
    --------
    >>> near_spellings("mamography", {"mammography", "mass"})
    {'mammography'}
    """
    if len(word) < _SHORTEST_MISSPELT or word.isdigit():
        return set()
    return {edit for edit in _edits(word) if edit in vocabulary}


def is_prefix(word: str) -> bool:
    """Tell whether a word may stand for longer ones that begin with it."""
    return len(word) >= SHORTEST_PREFIX and not word.isdigit()


def text_matches(query: str, text: str) -> bool:
    """Tell whether a single text has what a query asks for: whole, or all its words.

    Examples
    --------
    >>> text_matches("mammo", "digital Mammography"), text_matches("digit", "DCGAN")
    (True, False)
    """
    if query.lower() == text.lower():
        return True
    have = words(text)
    wanted = terms(query, have)
    return bool(wanted) and all(term_matches(term, have) for term in wanted)


def term_matches(term: str, have: set[str]) -> bool:
    """Tell whether a word of a query is among words of a text, or begins one of them."""
    if term in have or any(have.issuperset(phrase) for phrase in phrases(term)):
        return True
    return is_prefix(term) and any(word.startswith(term) for word in have)


def _edits(word: str) -> Iterator[str]:
    for cut in range(len(word) + 1):
        head, tail = word[:cut], word[cut:]
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _LETTERS:
            yield head + letter + tail
            if tail:
                yield head + letter + tail[1:]


def _first_phrase(line: list[str]) -> str:
    """Return the longest synonym at the start of a line of words, else its first word."""
    for length in range(_LONGEST_PHRASE, 1, -1):
        phrase = " ".join(line[:length])
        if phrase in _TERMS:
            return phrase
    return line[0]
