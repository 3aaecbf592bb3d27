"""Trees against a plain walk, the cut against all cuts, and text against the blocks that are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extraction.blocks import parse_pages
from pipeline.extraction.classifier import Model, cut_pages
from pipeline.extraction.cut import best_cut
from pipeline.extraction.render import render_text
from pipeline.extraction.trees import Trees

COLUMNS = 3


@st.composite
def forests(draw):
    """Random trees: nodes are numbered from the root down."""
    features, thresholds, left, right, leaves = [], [], [], [], []
    values = st.floats(-4, 4, width=32)

    def grow(depth):
        if depth == 0 or draw(st.booleans()):
            leaves.append(draw(values))
            return -len(leaves)
        place = len(features)
        features.append(draw(st.integers(0, COLUMNS - 1)))
        thresholds.append(draw(values))
        left.append(0)
        right.append(0)
        left[place], right[place] = grow(depth - 1), grow(depth - 1)
        return place

    roots = [grow(4) for _ in range(draw(st.integers(0, 4)))]
    return {
        "roots": np.array(roots, np.int32),
        "features": np.array(features, np.int16),
        "thresholds": np.array(thresholds, np.float32),
        "left": np.array(left, np.int32),
        "right": np.array(right, np.int32),
        "leaves": np.array(leaves, np.float32),
    }


def walk(forest, row):
    total = 0.0
    for root in forest["roots"]:
        node = root
        while node >= 0:
            side = "left" if row[forest["features"][node]] <= forest["thresholds"][node] else "right"
            node = forest[side][node]
        total += float(forest["leaves"][-1 - node])
    return 1 / (1 + np.exp(-total))


@given(forests(), st.lists(st.tuples(*[st.floats(-5, 5, width=32)] * COLUMNS), max_size=5))
@settings(max_examples=60)
def test_trees_agree_with_a_plain_walk(forest, rows):
    matrix = np.array(rows, np.float32).reshape(-1, COLUMNS)
    found = Trees.of(forest, "", COLUMNS).probabilities(matrix)
    assert np.allclose(found, [walk(forest, row) for row in matrix], atol=1e-6)


STUMP = {
    "roots": np.array([0], np.int32),
    "features": np.array([1], np.int16),
    "thresholds": np.array([0.5], np.float32),
    "left": np.array([-1], np.int32),
    "right": np.array([-2], np.int32),
    "leaves": np.array([0.0, 1.0], np.float32),
}


@pytest.mark.parametrize(
    ("array", "values", "message"),
    [
        ("features", [3], "features that do not exist"),
        ("features", [-1], "features that do not exist"),
        ("left", [0], "loops"),
        ("left", [-3], "outside"),
        ("roots", [1], "outside"),
        ("thresholds", [0.5, 0.5], "lengths"),
    ],
)
def test_damaged_models_are_refused(array, values, message):
    with pytest.raises(ValueError, match=message):
        Trees.of({**STUMP, array: np.array(values, STUMP[array].dtype)}, "", COLUMNS)


def test_a_model_of_other_features_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, columns=np.array(["text.chars"]))
    with pytest.raises(ValueError, match="train_extraction"):
        Model.load(path)


def test_the_shipped_model_is_small_and_loads():
    from pipeline.extraction.classifier import MODEL_FILE

    assert MODEL_FILE.stat().st_size <= 1_000_000
    Model.load()


def all_cuts(probabilities, weights):
    """The expected F1 of every cut, lowest probability kept first."""
    right = float(np.dot(probabilities, weights))
    return {
        cut: 2 * float(np.dot(probabilities[kept], weights[kept])) / (float(weights[kept].sum()) + right)
        for cut in sorted(set(probabilities.tolist()))
        if (kept := probabilities >= cut) is not None
    }


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.sampled_from([0.3, 1.0, 7.0, 40.0])),
        max_size=12,
    )
)
@settings(max_examples=150)
def test_the_cut_is_the_best_of_all(blocks):
    probabilities = np.array([p for p, _ in blocks], np.float32)
    weights = np.array([w for _, w in blocks], np.float32)
    cut, expected = best_cut(probabilities, weights)
    cuts = all_cuts(probabilities.astype(float), weights.astype(float))
    best = max(cuts.values(), default=0.0)
    assert expected == pytest.approx(best, abs=1e-6)
    if best > 0:
        assert cuts[cut] == pytest.approx(best, abs=1e-6)


def test_a_page_that_nothing_speaks_for_keeps_nothing():
    keep, confidence = np.ones(2, np.bool_), np.ones(2, np.float32)
    offsets = np.array([0, 2, 2], np.int64)
    cut_pages(offsets, np.ones(2, np.float32), np.zeros(2, np.float32), keep, confidence)
    assert keep.tolist() == [False, False]
    assert confidence.tolist() == [0.0, 0.0]


def text_of(html, keep=None):
    parsed = parse_pages([html])
    kept = np.ones(len(parsed.blocks) - 1, np.bool_) if keep is None else np.array(keep)
    return render_text(parsed, kept)[0].as_py()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h1>T</h1><p>a<br>b<p>c", "T\na\nb\nc"),
        ("<ul><li>a<li><p>b<p>c<ul><li>d</ul></ul>", "- a\n- b\nc\n  - d"),
        ("<ol>" + "<li>x" * 11 + "</ol>", "\n".join(f"{i}. x" for i in range(1, 12))),
        ("<table><tr><th>a<th>b<tr><td>1<br>2<td>3</table>", "a | b\n1 2 | 3"),
        ("<pre>  a\n\n  b</pre>c", "  a\n\n  b\nc"),
        ("", ""),
    ],
)
def test_text_as_a_reader_sees_it(html, text):
    assert text_of(html) == text


def test_only_kept_blocks_are_written():
    assert text_of("<p>a<p>b<p>c", [True, False, True]) == "a\nc"
    assert text_of("<p>a<p>b", [False, False]) == ""
