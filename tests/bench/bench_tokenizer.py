"""The tokenizer beside its peers: counting words, training, encoding; on the same text, in the same run.

    python -m tests.bench.bench_tokenizer [--input FILE ...] [--megabytes 10 50 200] [--vocab-size 32000]
        [--peer-python PYTHON] [--rounds 3]

Text: the files given (JSONL with a field `text`, or plain text), by default the documentation of this machine
(/usr/share/doc, /usr/share/man). Times are user CPU seconds; each training runs in a process of its own, which
also gives its peak memory. Hugging Face's `tokenizers` runs in `--peer-python` where it is not installed here.
What is compared is checked: counts, vocabularies and ids must be equal.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import sentencepiece

import tokenizer
from tests.tokenizer.conftest import reference_words
from tokenizer import proto
from tokenizer.settings import TokenizerSettings
from tokenizer.training import train, vocabulary
from tokenizer.words import WordTable

DOCUMENT_BYTES = 8000
DEFAULT = (Path("/usr/share/doc"), Path("/usr/share/man"))
COUNTED_MB, ENCODED_MB, STREAMED_MB = 20, 8, 60

PEER = """
import sys, resource
from tokenizers import Tokenizer, models, trainers, pre_tokenizers, decoders
path, size, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if kind == "metaspace":
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Digits(True)])
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], max_token_length=16, show_progress=False)
else:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
made.train([path], trainer)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, peak, made.get_vocab_size())
"""


def read_files(inputs: list[Path]) -> Iterator[str]:
    """Texts of about `DOCUMENT_BYTES`, in a fixed order."""
    for root in inputs:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if not path.is_file() or path.is_symlink():
                continue
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            if path.suffix in (".jsonl", ".ndjson"):
                yield from (json.loads(line).get("text") or "" for line in content.split(b"\n") if line)
                continue
            if b"\x00" in content[:4096]:
                continue
            text = content.decode("utf-8", "replace").replace("\u2585", " ")
            for start in range(0, len(text), DOCUMENT_BYTES):
                yield text[start : start + DOCUMENT_BYTES]


def first(texts: Iterator[str], megabytes: float) -> list[str]:
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text.encode())
        if size >= megabytes * 1e6:
            break
    return found


def seconds(work: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Median user CPU seconds, and the last result."""
    spent = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        result = work()
        spent.append(resource.getrusage(resource.RUSAGE_SELF).ru_utime - before)
    return statistics.median(spent), result


def bench_counting(texts: list[str], rounds: int) -> None:
    size = sum(len(text.encode()) for text in texts) / 1e6
    column = pa.array(texts, pa.large_string())

    def ours() -> dict[bytes, int]:
        table = WordTable()
        table.add_text(column)
        return dict(table.counts().items()) if is_checked else {}

    def plain() -> Counter[str]:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(reference_words(text))
        return counts

    def findall() -> Counter[str]:
        counts: Counter[str] = Counter()
        words = re.compile(r" *[^ ]+| +")
        for text in texts:
            for line in text.split("\n"):
                counts.update(words.findall(line))
        return counts

    is_checked = True
    found, (python, wanted) = ours(), seconds(plain, 1)
    assert {word.decode(): count for word, count in found.items()} == wanted, "the counts differ"
    is_checked = False
    spent, _ = seconds(ours, rounds)
    short, _ = seconds(findall, 1)
    print(f"\ncounting {size:.1f} MB, {len(wanted):,} different words (equal)")
    for name, cost in (("kernel", spent), ("Python, the rule", python), ("Python, findall only", short)):
        print(f"  {name:<24} {size / cost:8.1f} MB/s   {cost / spent:6.1f} x")


def bench_stream(model: bytes, texts: list[str], rounds: int) -> None:
    """New text in chunks, as a pipeline sees it: the cache starts empty."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    chunks = [pa.array(texts[at : at + 250], pa.large_string()) for at in range(0, len(texts), 250)]
    print(f"\nencoding {size:.1f} MB of text once, in {len(chunks)} chunks, loading and self-check included")
    costs = {}
    for name in ("words", "kitoken"):

        def work(name: str = name) -> None:
            made = tokenizer.Tokenizer(model, name)  # type: ignore[arg-type]
            for chunk in chunks:
                made.encode_column(chunk)

        costs[name] = seconds(work, rounds)[0]
        print(f"  {name:<24} {size / costs[name]:8.1f} MB/s   {costs['words'] / costs[name]:6.2f} x words")


def bench_encoding(model: bytes, texts: list[str], rounds: int) -> None:
    size = sum(len(text.encode()) for text in texts) / 1e6
    column = pa.array(texts, pa.large_string())
    made = {name: tokenizer.Tokenizer(model, name) for name in ("words", "kitoken", "sentencepiece")}  # type: ignore[arg-type]
    wanted = made["sentencepiece"].encode_column(column)
    assert all(each.encode_column(column).equals(wanted) for each in made.values()), "the ids differ"
    costs = {
        "words, first time": seconds(
            lambda: tokenizer.Tokenizer(model, "words").encode_column(column), rounds
        )[0]
    }
    for name, each in made.items():
        label = "words, from memory" if name == "words" else name
        costs[label] = seconds(lambda each=each: each.encode_column(column), rounds)[0]  # type: ignore[misc]
    base = costs["sentencepiece"]
    print(
        f"\nencoding {size:.1f} MB, {len(wanted.values):,} tokens (equal ids); 'first time' with loading and self-check"
    )
    for name, cost in costs.items():
        print(f"  {name:<24} {size / cost:8.1f} MB/s   {base / cost:6.1f} x sentencepiece")


def child(name: str, path: str, settings: TokenizerSettings) -> None:
    """One training, in this process; prints its costs and leaves the vocabulary beside the text."""
    if name == "counts":
        table = WordTable()
        with open(path, "rb") as file:
            while block := file.read(1 << 24):
                block += file.readline()
                table.add_text(pa.array([block.decode()], pa.large_string()))
        counting = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        model = train(table.counts().items(), settings)
    else:
        counting = 0.0
        prefix = f"{path}.{name}"
        sentencepiece.SentencePieceTrainer.train(
            input=path, model_prefix=prefix, **settings.trainer_arguments(1)
        )
        model = Path(f"{prefix}.model").read_bytes()
    Path(f"{path}.{name}.vocab").write_bytes(vocabulary(model))
    # Not `ru_maxrss`, which a process has from its parent.
    status = Path("/proc/self/status").read_text().split("\n")
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, peak, len(proto.read(model).pieces), counting)


def bench_training(texts: list[str], folder: Path, settings: TokenizerSettings, peer: str | None) -> None:
    size = sum(len(text.encode()) for text in texts) / 1e6
    path = folder / f"text-{size:.0f}.txt"
    path.write_bytes("\n".join(texts).encode())
    here = [sys.executable, "-m", "tests.bench.bench_tokenizer", "--child"]
    runs = {
        "counts (ours)": [*here, "counts", "--file", str(path), "--vocab-size", str(settings.vocab_size)],
        "SentencePiece on text": [
            *here,
            "text",
            "--file",
            str(path),
            "--vocab-size",
            str(settings.vocab_size),
        ],
    }
    if peer:
        for kind in ("metaspace", "bytes"):
            runs[f"HF tokenizers, {kind}"] = [peer, "-c", PEER, str(path), str(settings.vocab_size), kind]
    print(f"\ntraining {settings.vocab_size:,} pieces on {size:.1f} MB")
    base = 0.0
    for name, arguments in runs.items():
        started = time.perf_counter()
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        cpu, rss, pieces, *counting = done.stdout.split()[-4:] if "HF" not in name else done.stdout.split()
        base = base or float(cpu)
        told = (
            f", counting (with imports) {float(counting[0]):.1f} s" if counting and float(counting[0]) else ""
        )
        print(
            f"  {name:<24} {float(cpu):7.1f} CPU s  {float(cpu) / base:5.2f} x  {int(rss) / 1024:7.0f} MB  "
            f"{pieces} pieces  ({time.perf_counter() - started:.0f} s passed{told})",
            flush=True,
        )
    same = Path(f"{path}.counts.vocab").read_bytes() == Path(f"{path}.text.vocab").read_bytes()
    print(f"  vocabularies of counts and text: {'equal, byte for byte' if same else 'DIFFERENT'}")
    assert same


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, nargs="*", default=list(DEFAULT))
    parser.add_argument("--megabytes", type=float, nargs="*", default=[10, 50, 200])
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--peer-python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    settings = TokenizerSettings(vocab_size=chosen.vocab_size)
    if chosen.child:
        child(chosen.child, chosen.file, settings)
        return
    peer = chosen.peer_python or (sys.executable if importlib.util.find_spec("tokenizers") else None)
    if peer is None:
        print("tokenizers is not installed and no --peer-python is given: left out")
    sample = first(read_files(chosen.input), COUNTED_MB)
    bench_counting(sample, chosen.rounds)
    table = WordTable()
    table.add_text(pa.array(sample, pa.large_string()))
    model = train(table.counts().items(), settings)
    bench_encoding(model, first(iter(sample), ENCODED_MB), chosen.rounds)
    bench_stream(model, first(read_files(chosen.input), STREAMED_MB), chosen.rounds)
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in chosen.megabytes:
            bench_training(first(read_files(chosen.input), megabytes), Path(folder), settings, peer)


if __name__ == "__main__":
    main()
