"""Each rule against false alarms: what it rejects, and the nearest thing that it must not reject."""

from __future__ import annotations

import pytest

from filters.pii import PiiSettings, find_spans
from filters.pii_rules import RULES, Place, rejected_by, written_like_a_phone
from filters.pii_settings import PATTERN_TYPES

# Rule, type, text with the value in brackets: rejected; and the same for a neighbour that passes.
CASES = [
    ("catalogue_number", "phone", "ISBN [0-521-54228-6]", "Mr. Isben [0-521-54228-6]"),
    ("catalogue_number", "phone", "PMID: [17159 9210]", "PM ID cards: [17159 9210]"),
    ("catalogue_number", "phone", "10.1073/pnas.[0605684103]", "9.1073/pnas [0605684103]"),
    ("catalogue_number", "credit_card", "serial no. [4012888888881881]", "card no. [4012888888881881]"),
    ("account_number", "phone", "account: [415-863-2171]", "on any account, call us at [415-863-2171]"),
    ("inside_url", "phone", "https://e.org/a-[415-863-2171]", "https://e.org/a [415-863-2171]"),
    ("inside_url", "credit_card", "see www.e.org/[4012888888881881]", "see e.org/[4012888888881881]"),
    ("article_id", "credit_card", '{"id": [4012888888881881]', '{"card": [4012888888881881]'),
    ("article_id", "credit_card", "article-[4012888888881881]", "particles [4012888888881881]"),
    ("unix_timestamp", "phone", '"created": [1598918400]', '"created": [2598918400]'),
    ("unix_timestamp", "phone", "timestamp=[1598918400123]", "times [1598918400123] were"),
    ("unix_timestamp", "phone", "updated_at: [1598918400]", "ask Pat [1598918400]"),
    ("one_piece", "phone", "a [4158632171] b", "a [415 8632171] b"),
    ("table_cells", "phone", "[2022 2035 7 0 15 24]", "[2022 2035 71]"),
    ("table_cells", "phone", "[22 23 24 25 26]", "[02 23 24 25 26]"),
    ("decimal_number", "phone", "[3.0822070014844882]", "[308 2207]"),
    ("year_range", "phone", "[1642-1772]", "[3642-1772]"),
    ("date", "phone", "[2018.04.05]", "[2018.040.05]"),
    ("date", "phone", "[57 2020-08-01 17]", "[57 2020-808-01 17]"),
    ("date", "phone", "[31.12.1999 20]", "[061.12.34.1999]"),
    ("date", "phone", "[03/095/2018]", "[03/0952018]"),
    ("number_range", "phone", "[230 500 – 240 900]", "[230 500 - 240 900]"),
    ("version_range", "phone", "[64.102...64.103]", "[64.102.64.103]"),
    ("part_of_longer", "phone", "1.[415-863-2171]", "1: [415-863-2171]"),
    ("part_of_longer", "phone", "[415-863-2171]-99", "[415-863-2171] 99"),
    ("part_of_longer", "phone", "id_[415-863-2171]", "id [415-863-2171]"),
    ("version_number", "ip", "version [86.121.97.24]", "conversion to [86.121.97.24]"),
    ("version_number", "ip", "Chrome/[86.121.97.24]", "http://[86.121.97.24]"),
    ("section_number", "ip", "see [3.1.2.4]", "ping [3.1.2.4]"),
    ("section_number", "ip", "see [3.1.2.4]", "see [8.8.8.8]"),
    ("section_number", "ip", "see [3.1.2.4]", "see [3.1.2.4]:53"),
    ("section_number", "ip", "see [3.1.2.4]", "see [3.1.2.40]"),
    ("not_global", "ip", "at [10.218.6.131]", "at [11.218.6.131]"),
    ("not_global", "ip", "at [172.31.0.77]", "at [172.32.0.77]"),
    ("not_global", "ip", "at [dead::beef]", "at [2a00::beef]"),
    ("not_global", "ip", "at [299.1.1.77]", "at [29.1.1.77]"),
    ("remote_path", "email", "[git@example.com]:a/b", "[gitta@example.com]: a/b"),
    ("remote_path", "email", "[joe@example.com]:/var", "[joe@example.com]: /var"),
    (
        "filler",
        "crypto",
        "[0x000000000000000000000000000000000000dEaD]",
        "[0x52908400098527886E0F7030069857D2]",
    ),
]


def place(marked: str) -> Place:
    start = marked.index("[")
    return Place(marked.replace("[", "").replace("]", ""), start, marked.index("]") - 1)


@pytest.mark.parametrize(("name", "kind", "rejected", "passed"), CASES)
def test_each_rule_rejects_what_it_says_and_not_its_neighbour(name, kind, rejected, passed):
    rule = next(rule for rule in RULES if rule.name == name)
    assert kind in rule.types
    assert rule.rejects(place(rejected))
    assert not rule.rejects(place(passed))
    assert rejected_by(kind, place(rejected)) is not None


def test_every_rule_has_a_case_and_a_known_type():
    assert {rule.name for rule in RULES} == {name for name, *_ in CASES}
    assert {kind for rule in RULES for kind in rule.types} <= set(PATTERN_TYPES)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_label_overrules_the_shape_and_nothing_else():
    assert rejected_by("phone", place("[1642-1772]")) == "year_range"
    assert rejected_by("phone", place("[1642-1772]"), labelled=True) is None
    assert rejected_by("phone", place("ISBN [1642-1772]"), labelled=True) == "catalogue_number"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("415 863 2171", True),
        ("22 23 24 25 26", False),
        ("22 23 24 25 26 27 28 29", True),  # more digits than one number has: several may be in it
        ("3.30822070014844882", False),  # but not in a group that is too long
        ("330822070014844882 415 863 2171", True),
    ],
)
def test_what_is_worth_a_look(value, expected):
    assert written_like_a_phone(Place(value, 0, len(value))) is expected


def test_private_addresses_on_request():
    text = "hosts 10.218.6.131 and fe80::1:2 and version 10.218.6.132"
    assert find_spans(text) == []
    spans = find_spans(text, PiiSettings(ip_scope="any"))
    assert [text[span.start : span.end] for span in spans] == ["10.218.6.131", "fe80::1:2"]
