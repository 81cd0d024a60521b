"""Choosing the sentences that say most of a text (TextRank), without a language model.

R. Mihalcea and P. Tarau, "TextRank: Bringing Order into Texts" (2004), with TF-IDF cosine as the similarity.
Everything is in the order of the text or of a score with the position as tie-break, so one text has one summary.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

Vector = Mapping[str, float]

MAX_WORDS = 60  # of one sentence; text without punctuation is cut into stretches of this many words
BLOCK = 100  # sentences ranked together
KEPT = 8  # sentences of a block that go into the next round
LAST_ROUND = 400
STEPS = 30
DAMPING = 0.85
DUPLICATE = 0.7  # cosine

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
# An end is looked for only where its run of marks begins: a text of nothing but dots takes linear time.
_END = re.compile(r"(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019)\]]*+(?=\s)|[\u3002\uff01\uff1f]|\n(?=[^a-z])")
_STRETCH = re.compile(rf"(?:\S{{1,200}}\s*){{1,{MAX_WORDS}}}")
_ABBREVIATIONS = frozenset({"mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "approx"})
_COMMON = """
a about after again all also am an and any are as at be because been before being but by can could did do does
doing done down each even every few for from further get gets getting go goes going gonna got had has have
having he her here hers him his how i if in into is it its itself just know let like lot made make makes many
may maybe me mean might more most much must my need no nor not now of off oh ok okay on once one only or other
our out over own quite rather really right said same say says see shall she should so some something still
such sure take than thank thanks that the their them then there these they thing things think this those
through to too uh um under until up us very want was way we well were what when where which while who whom why
will with would yeah yes yet you your yours
"""
_STOP_WORDS = frozenset(_COMMON.split())


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, each word for word; only white space is evened out.

    A line ends a sentence too, unless the next goes on in lower case (text wrapped to a width).
    """
    text = "\n".join(line for line in map(str.strip, text.splitlines()) if line)
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        before = text[max(start, end.start() - 8) : end.start()].lower().split()
        if before and before[-1].lstrip("(") in _ABBREVIATIONS:
            continue
        found.append(text[start : end.end()])
        start = end.end()
    found.append(text[start:])
    stretches = (part for sentence in found for part in _STRETCH.findall(sentence))
    return [" ".join(part.split()) for part in stretches if _WORD.search(part)]


def choose(texts: Sequence[str], count: int, check: Callable[[], object]) -> list[int]:
    """The positions of the `count` sentences that say most, best first, near-duplicates left out.

    Long texts are ranked block by block first. `check` is called before each block and may raise.
    """
    kept = list(range(len(texts)))
    while len(kept) > LAST_ROUND:
        blocks = [kept[at : at + BLOCK] for at in range(0, len(kept), BLOCK)]
        kept = [position for block in blocks for position in sorted(_best(texts, block, KEPT, check))]
    return _best(texts, kept, count, check)


def keywords(texts: Sequence[str], count: int) -> list[str]:
    """Words said often, in lower case; a word that is in nearly every sentence says little."""
    bags = [Counter(_terms(text)) for text in texts]
    weights = _weights(bags)
    totals: Counter[str] = Counter()
    for bag in bags:
        totals.update(bag)
    ranked = sorted(totals, key=lambda word: -totals[word] * weights[word])  # stable: first said, first named
    return [word for word in ranked if len(word) > 2 and not word.isdigit()][:count]


def _terms(text: str) -> list[str]:
    words = (word.replace("\u2019", "'") for word in _WORD.findall(text.lower()))
    return [word for word in words if word.split("'")[0] not in _STOP_WORDS and len(word) > 1]


def _weights(bags: Sequence[Counter[str]]) -> dict[str, float]:
    documents = Counter(word for bag in bags for word in bag)
    return {word: math.log(1 + len(bags) / count) for word, count in documents.items()}


def _vectors(texts: Sequence[str]) -> list[Vector]:
    """One unit vector of TF-IDF weights per text; an empty one for a text of stop words."""
    bags = [Counter(_terms(text)) for text in texts]
    weights = _weights(bags)
    vectors: list[Vector] = []
    for bag in bags:
        raw = {word: count * weights[word] for word, count in bag.items()}
        length = math.sqrt(sum(value * value for value in raw.values()))
        vectors.append({word: value / length for word, value in raw.items()})
    return vectors


def _cosine(one: Vector, other: Vector) -> float:
    return sum(value * other[word] for word, value in one.items() if word in other)


def _best(texts: Sequence[str], positions: Sequence[int], count: int, check: Callable[[], object]) -> list[int]:
    check()
    vectors = _vectors([texts[position] for position in positions])
    scores = _rank(vectors)
    best: list[int] = []
    for i in sorted(range(len(positions)), key=lambda i: -scores[i]):
        if len(best) == count:
            break
        if not best or (vectors[i] and all(_cosine(vectors[i], vectors[j]) < DUPLICATE for j in best)):
            best.append(i)
    return [positions[i] for i in best]


def _rank(vectors: Sequence[Vector]) -> list[float]:
    """Power steps over the graph of sentences: who resembles many that resemble many, scores high."""
    size = len(vectors)
    links: list[list[tuple[int, float]]] = [[] for _ in vectors]
    for i, one in enumerate(vectors):
        for j in range(i + 1, size):
            if weight := _cosine(one, vectors[j]):
                links[i].append((j, weight))
                links[j].append((i, weight))
    totals = [sum(weight for _, weight in row) for row in links]
    scores = [1.0] * size
    for _ in range(STEPS):
        shares = [score / total if total else 0.0 for score, total in zip(scores, totals, strict=True)]
        scores = [1 - DAMPING + DAMPING * sum(shares[j] * weight for j, weight in row) for row in links]
    return scores
