"""The phase: chunks in, removals and a cluster table out; the rooms in their order, over the engine.

    columns   Parquet -> flat columns                                    map
    exact     equal texts, then equal URLs                               two shuffles of one record a document
    bands     signatures -> band keys -> candidate edges                 shuffle of packed blocks
    verify    candidates by the centre of their star -> edges that hold  shuffle of edges
    components                                                           one task, or a loop of shuffles
    survivors clusters -> removals by group -> one table                 two shuffles of removals

Every step's folder is named by a digest of all settings that its content depends on, so that changed settings
redo what they change and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt
from pydantic import BaseModel

from pipeline import storage
from pipeline.blocks import Block
from pipeline.chunks import HarvestedChunk
from pipeline.dedup import components, exact, group, keys, shingles, survivors, verify
from pipeline.dedup.arrays import Blocks, partitions_for
from pipeline.dedup.columns import Columns
from pipeline.dedup.earlier import EarlierRuns, earlier_runs
from pipeline.dedup.settings import DedupSettings
from pipeline.dedup.shingles import Shingles
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.engine import Engine

NAME = "dedup"

S = TypeVar("S", bound=BaseModel)


class DuplicateReport(BaseModel):
    """What deduplication found. `removals` and `table` lead to the documents; the rest are counts."""

    documents: int
    """Documents of this run that took part: kept so far, with words."""
    earlier_documents: int
    """Documents of earlier runs that they were compared with."""
    earlier: EarlierRuns
    """Which ordinals are theirs; they are in none of the other counts but cluster sizes."""
    removed: dict[str, int]
    """Removed documents by kind: fuzzy, exact_url, exact_text."""
    clusters_by_size: dict[int, int]
    """Number of documents in a cluster -> number of such clusters, those left alone included."""
    candidates: int
    verified: int
    """Distinct candidate pairs, and those of them that are alike enough."""
    components: str
    rounds: int
    """How components were found, and in how many rounds of star steps."""
    removals: list[survivors.Removals]
    table: str

    def removed_in(self, chunk: HarvestedChunk) -> npt.NDArray[Any]:
        """See `survivors.removed_in`."""
        return survivors.removed_in(self.removals, chunk)


def find_duplicates(
    chunks: Sequence[HarvestedChunk],
    settings: DedupSettings,
    engine: Engine,
    work: str,
    *,
    contents: str = "",
) -> DuplicateReport:
    """Find duplicates among the kept documents of all chunks; decide which survive.

    The result depends on the chunks and the settings only: not on the order in which chunks or tasks are
    done, nor on the number of partitions or workers.

    Args:
        chunks: all chunks of the run; their rows' ordinals must not overlap. Chunks of earlier runs
            (`earlier.earlier_chunks`) lie behind the run's own: their documents always survive.
        settings: what counts as a duplicate and what is kept.
        engine: does the tasks.
        work: folder for flat columns, blocks, removals and `duplicates.parquet`, on a file system that all
            workers share.
        contents: names what is in the chunks' files, where files of one name may come to hold something else: a
            digest of the settings that made them. Work done for other contents is not used again.

    Raises:
        UserError: where a chunk lacks a column that the settings need, or signatures are shorter than the
            bands.
        ValueError: where ordinals overlap or exceed 32 bits.
    """
    run = _Run(chunks, settings, engine, work, contents)
    run.read()
    run.find_copies()
    run.find_candidates()
    run.verify()
    run.find_components()
    return run.decide()


class _Run:
    """The state between the steps of one `find_duplicates`."""

    def __init__(
        self,
        chunks: Sequence[HarvestedChunk],
        settings: DedupSettings,
        engine: Engine,
        work: str,
        contents: str,
    ) -> None:
        self.settings, self.engine, self.work = settings, engine, work
        self.groups = keys.group_chunks(chunks, settings.task_rows)
        self.earlier = earlier_runs(chunks)
        self.lineage = _digest(contents, *self.groups)
        self.texts: list[Blocks] = []
        self.urls: list[Blocks] = []
        self.candidates: list[Blocks] = []
        self.verified: list[Blocks] = []

    def folder(self, step: str, *depends: object) -> str:
        """The folder of a step; from here on everything depends on `depends` as well."""
        self.lineage = _digest(self.lineage, step, *depends)
        return storage.join(self.work, f"{step}-{self.lineage}")

    def shared(self, model: type[S], step: str, /, **fields: object) -> S:
        """The settings of a step's tasks, all of which its content depends on."""
        folder = self.folder(step, sorted(fields.items()))
        return model.model_validate({"folder": folder, **fields})

    def read(self) -> None:
        settings = self.settings
        shared = self.shared(
            keys.KeySettings,
            "columns",
            scope=settings.scope,
            rule=settings.rule,
            url_rule=settings.exact_url_survivor,
            quality_column=settings.quality_column,
            text=settings.exact_text,
            url=settings.exact_url,
            fuzzy=settings.fuzzy,
        )
        self.read_groups = self.engine.run(f"{NAME}.read", keys.read_group, self.groups, shared)
        self.documents = sum(each.documents for each in self.read_groups)
        self.bases = tuple(each.base for each in self.read_groups)
        widths = {each.width for each in self.read_groups if each.width}
        needed = settings.bands * settings.rows
        if len(widths) > 1 or (widths and min(widths) < needed):
            raise UserError(
                f"deduplication: {settings.bands} bands of {settings.rows} rows need signatures of {needed} "
                f"values or more, all of one length; the chunks have {sorted(widths)}"
            )

    def find_copies(self) -> None:
        partitions = partitions_for(self.documents, exact.WORKING_BYTES, self.settings.partition_bytes)
        shared = self.shared(
            exact.ExactSettings,
            "exact",
            kind="text",
            partitions=partitions,
            bases=self.bases,
            earlier=self.earlier.first,
        )
        if self.settings.exact_text:
            self.texts = self._copies("exact_text", shared)
        if self.settings.exact_url:
            self.urls = self._copies("exact_url", _in(shared, "url", kind="url"))
        shared = _in(shared, "levels")
        self.levels = self.engine.run(f"{NAME}.levels", exact.write_levels, self._exact_groups(), shared)

    def _copies(self, phase: str, shared: exact.ExactSettings) -> list[Blocks]:
        items = self._exact_groups()
        return self.engine.shuffle(f"{NAME}.{phase}", exact.write_hashes, items, exact.find_copies, shared)

    def _exact_groups(self) -> list[exact.ExactGroup]:
        texts, urls = by_partition(self.texts), by_partition(self.urls)
        return [
            exact.ExactGroup(
                key=each.key, group=each, texts=tuple(texts.get(index, ())), urls=tuple(urls.get(index, ()))
            )
            for index, each in enumerate(self.read_groups)
        ]

    def find_candidates(self) -> None:
        settings = self.settings
        if not settings.fuzzy:
            return
        unique = sum(each.counts["unique"] for each in self.levels)
        records = unique * settings.bands
        shared = self.shared(
            keys.BandSettings,
            "bands",
            bands=settings.bands,
            rows=settings.rows,
            partitions=partitions_for(records, group.WORKING_BYTES, settings.partition_bytes),
            chains=settings.verify != "none",
            earlier=self.earlier.first,
            edge_partitions=partitions_for(records, verify.WORKING_BYTES, settings.partition_bytes),
        )
        items = [
            keys.BandGroup(key=each.key, group=each, levels=levels.path)
            for each, levels in zip(self.read_groups, self.levels, strict=True)
        ]
        self.candidates = self.engine.shuffle(
            f"{NAME}.bands", keys.write_bands, items, group.group_bands, shared
        )

    @property
    def columns(self) -> Columns:
        """Access to the documents' columns by ordinal."""
        return Columns(
            groups=tuple(self.read_groups),
            levels=tuple(each.path for each in self.levels),
            batch_bytes=self.settings.partition_bytes,
        )

    def verify(self) -> None:
        settings = self.settings
        if not settings.fuzzy:
            return
        shared = verify.VerifySettings(
            folder=self.folder("verified", settings.verify, settings.threshold),
            inputs=self.lineage,
            similarities=self._similarities(),
            threshold=settings.threshold,
        )
        items = components.forward_items(self.candidates)
        self.verified = self.engine.shuffle(
            f"{NAME}.verify", components.forward_blocks, items, verify.verify_edges, shared
        )

    def _similarities(self) -> Columns | Shingles | None:
        if self.settings.verify == "none":
            return None
        return self.columns if self.settings.verify == "signature" else self._read_shingles()

    def _read_shingles(self) -> Shingles:
        """The shingles of all candidates, from their texts."""
        listing = shingles.CandidateSettings(
            folder=self.folder("candidates"),
            inputs=self.lineage,
            bases=self.bases,
            batch_bytes=self.settings.partition_bytes,
        )
        items = components.forward_items(self.candidates)
        found = self.engine.shuffle(
            f"{NAME}.candidates", shingles.write_candidates, items, shingles.list_candidates, listing
        )
        wanted = [
            shingles.ShingleGroup(
                key=self.groups[each.group].key, group=self.groups[each.group], candidates=each.path
            )
            for each in found
        ]
        words = self.settings.shingle_words
        shared = shingles.ShingleSettings(folder=self.folder("shingles", words), words=words)
        read = self.engine.run(f"{NAME}.shingles", shingles.read_shingles, wanted, shared)
        return Shingles(groups=tuple(read), batch_bytes=self.settings.partition_bytes)

    def find_components(self) -> None:
        settings = self.settings
        blocks = [block for each in (*self.texts, *self.urls, *self.verified) for block in each.blocks]
        edges = sum(block.length for block in blocks) // 8
        ordinals = max((each.base + each.rows for each in self.groups), default=0)
        fits = components.union_find_bytes(ordinals, edges) <= settings.union_find_bytes
        self.method = (
            settings.components if settings.components != "auto" else "union_find" if fits else "stars"
        )
        nodes = min(2 * edges, self.documents)
        partitions = partitions_for(nodes, survivors.WORKING_BYTES, settings.partition_bytes)
        shared = components.ComponentSettings(
            folder=self.folder("components", self.method, partitions),
            inputs=self.lineage,
            ordinals=ordinals,
            partitions=partitions,
            batch_bytes=settings.partition_bytes,
        )
        phase = f"{NAME}.components"
        if self.method == "stars":
            self.labels = components.star_components(self.engine, phase, blocks, shared)
        else:
            item = components.EdgeItem(key="all", blocks=tuple(blocks))
            (self.labels,) = self.engine.run(phase, components.find_components, [item], shared)

    def decide(self) -> DuplicateReport:
        settings = self.settings
        shared = survivors.SurvivorSettings(
            folder=self.folder("survivors", settings.keep, settings.min_cluster_size),
            inputs=self.lineage,
            columns=self.columns,
            fuzzy=settings.fuzzy,
            keep=settings.keep,
            min_cluster_size=settings.min_cluster_size,
            earlier=self.earlier.first,
        )
        items = components.forward_items([self.labels])
        decided = self.engine.shuffle(
            f"{NAME}.survivors", components.forward_blocks, items, survivors.decide_clusters, shared
        )
        removals, table = self._tables(decided)
        return DuplicateReport(
            documents=self.documents - sum(each.earlier for each in self.read_groups),
            earlier_documents=sum(each.earlier for each in self.read_groups),
            earlier=self.earlier,
            removed={kind: sum(each.kinds[kind] for each in decided) for kind in survivors.KINDS},
            clusters_by_size=_added(each.sizes for each in decided),
            candidates=_count(self.verified, "candidates"),
            verified=_count(self.verified, "verified"),
            components=self.method,
            rounds=self.labels.counts["rounds"],
            removals=removals,
            table=table,
        )

    def _tables(self, decided: list[survivors.Decided]) -> tuple[list[survivors.Removals], str]:
        order = survivors.OrderSettings(
            folder=self.folder("removed"),
            inputs=self.lineage,
            groups=tuple((each.base, each.rows) for each in self.groups),
        )
        items = [
            components.EdgeItem(key=f"part-{index:06d}", blocks=tuple(each.blocks))
            for index, each in enumerate(decided)
        ]
        found = self.engine.shuffle(
            f"{NAME}.removed", components.forward_blocks, items, survivors.order_removals, order
        )
        removals = sorted(found, key=lambda each: each.base)
        shared = survivors.TableSettings(
            path=storage.join(order.folder, "duplicates.parquet"),
            inputs=self.lineage,
            earlier=self.earlier,
        )
        item = survivors.TableItem(key="duplicates", removals=tuple(removals))
        (table,) = self.engine.run(f"{NAME}.table", survivors.write_table, [item], shared)
        return removals, table.path


def by_partition(results: Iterable[Blocks]) -> dict[int, list[Block]]:
    """The blocks of all results by their partition, in the order of the results."""
    out: dict[int, list[Block]] = {}
    for result in results:
        for block in result.blocks:
            out.setdefault(block.partition, []).append(block)
    return out


def _in(shared: exact.ExactSettings, name: str, **changes: str) -> exact.ExactSettings:
    return shared.model_copy(update={"folder": storage.join(shared.folder, name), **changes})


def _digest(*parts: object) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for part in parts:
        text = part.model_dump_json() if isinstance(part, BaseModel) else repr(part)
        digest.update(len(text).to_bytes(8, "little") + text.encode())
    return digest.hexdigest()


def _added(counts: Iterable[dict[int, int]]) -> dict[int, int]:
    out: dict[int, int] = {}
    for each in counts:
        for size, clusters in each.items():
            out[size] = out.get(size, 0) + clusters
    return dict(sorted(out.items()))


def _count(results: Iterable[Blocks], name: str) -> int:
    return sum(each.counts[name] for each in results)
