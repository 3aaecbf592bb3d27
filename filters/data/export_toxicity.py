"""Exports the linear toxicity model of alt-profanity-check to plain arrays: `toxicity.npz`.

    python3 -m venv /tmp/export && /tmp/export/bin/pip install scikit-learn==1.9.1 joblib==1.6.0
    /tmp/export/bin/python filters/data/export_toxicity.py alt_profanity_check-1.9.1-py3-none-any.whl

The wheel (PyPI, MIT) holds pickles that only that scikit-learn reads; the arrays need numpy alone. The model
is a TfidfVectorizer (single words, English stop words left out) and the mean of five linear SVMs with a
sigmoid each. With `--expected` the script writes to standard output, as JSON, what scikit-learn itself says
about the sentences given one a line on standard input: `tests/filters/test_safety.py` keeps some.

Arrays of the file:
    words           the vocabulary, UTF-8, one word a line, in the order of the weights
    idf, idf_index  inverse document frequencies (few distinct ones) and which of them is each word's
    high, low       weights of the five machines in fixed point: (high * 256 + low) / 2**35, exact to 1.5e-11
    intercept, slope, offset   of each machine; its probability is 1 / (1 + exp(slope * decision + offset))
"""

import argparse
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import joblib  # type: ignore[import-not-found]
import numpy as np

FIXED_POINT = 2.0**35


def main() -> None:
    """Export, or answer what the original model says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--expected", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(options.wheel) as wheel:
        wheel.extractall(folder)
        data = Path(folder) / "profanity_check" / "data"
        vectorizer, model = joblib.load(data / "vectorizer.joblib"), joblib.load(data / "model.joblib")
    if options.expected:
        texts = [line.rstrip("\n") for line in sys.stdin]
        scores = model.predict_proba(vectorizer.transform(texts))[:, 1].tolist()
        json.dump(list(zip(texts, scores, strict=True)), sys.stdout, ensure_ascii=False, indent=0)
        return
    words = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.get)
    idf, idf_index = np.unique(vectorizer.idf_, return_inverse=True)
    machines = model.calibrated_classifiers_
    weights = np.array([machine.estimator.coef_[0] for machine in machines])
    fixed = np.rint(weights * FIXED_POINT).astype(np.int64)
    np.savez_compressed(
        Path(__file__).with_name("toxicity.npz"),
        words=np.frombuffer("\n".join(words).encode(), np.uint8),
        idf=idf,
        idf_index=idf_index.astype(np.uint16),
        high=(fixed >> 8).astype(np.int32),
        low=(fixed & 255).astype(np.uint8),
        intercept=np.array([machine.estimator.intercept_[0] for machine in machines]),
        slope=np.array([machine.calibrators[0].a_ for machine in machines]),
        offset=np.array([machine.calibrators[0].b_ for machine in machines]),
    )


if __name__ == "__main__":
    main()
