"""Makes decontam/benchmarks/811.yaml from the table of the 811 benchmarks.

    .venv/bin/python scripts/make_811.py TABLE.tsv

The table (its facts and how sure each is) was gathered from public evaluation suites; this script divides its columns
into the parts of an item, and adds what the table has no column for: other names, and other places on the hub. Every
column name of the table stands below by name, so that a new one is an error and not a guess.
"""

from __future__ import annotations

import csv
import itertools
import pathlib
import re
import sys
from typing import Any

import yaml

TARGET = pathlib.Path(__file__).resolve().parent.parent / "decontam" / "benchmarks" / "811.yaml"

HEAD = """\
# 811 public benchmarks, each at the granularity at which it is reported. Made by scripts/make_811.py; not edited by hand.
# The form of an entry is in docs/benchmarks.md.
#
# Where the facts are from: lm-evaluation-harness, decon, lighteval, HELM and evalscope, as read in 2026. The list is our
# own choice: which 811 benchmarks the AFM report means is not public.
# How sure they are: `verified: yes` where path, split and columns were all read in one of those. Other entries list what
# was not: `path` (the id is in use in public code, its configuration is not confirmed), `split` and `columns` (general
# knowledge, or one of the columns was not seen). Every licence is from general knowledge; `unsure: [license]` marks the
# shaky ones. `aliases` and `hf.aliases` are from general knowledge too.
"""

# ---- columns -> parts

PROMPT = """
    baseline Body body code code_tokens complete_prompt conversation_input.content cropped_code ctx_a ctx_b description
    docstring ex_question excuse formal_statement goal hypothesis informal_stmt input input_sentence_1 input_sentence_2
    input_sentence_3 input_sentence_4 inputs instruct_prompt instruction intent intention narrative nl_statement norm
    premise problem Problem problem_statement problem_text problems prompt prompt.text puzzle qtext query question
    Question QUESTION question.text question1 question2 question_content question_propmt question_stem question_str
    questions questions.input_text scenario sent1 sent_less sent_more sentence sentence1 sentence2 sentence_bad
    sentence_good situation skeleton startphrase suffix text tokens turns.content
"""
"""The question, or the statement itself."""

CHOICES = """
    A B C D answer0 answer1 answer2 answer3 answerA answerB answerC answer_options candidate_answers choice choice1
    choice2 choices choices.text distractor1 distractor2 distractor3 ending0 ending1 ending2 ending3 endings entities
    immoral_action mc1_targets.choices mc2_targets.choices moral_action multiple_choice_targets opa opb opc opd option1
    option2 options sentence_quiz1 sentence_quiz2 sentences.sentence sol1 sol2 trait
"""
"""What a model chooses from."""

PASSAGE = """
    abstract article context context.sentences CONTEXTS dialogue document.summary.text document_str fact1 fact2 facts
    hint lecture page paragraph paragraphs passage passages.passage_text story support table title
"""
"""What a question is asked about: a text that stands elsewhere too, or serves several questions, or the evidence."""

ANSWER = """
    additional_answers annotations.short_answers answer answer.aliases answer.value answerKey answer_choice
    answer_number answer_right_ending answers answers.text Answer best_answer canonical_solution code completion
    continuation correct correct_answer correct_answer_id correct_answer_idx correct_answers exp final_answer gold
    gold_index informal_proof label LONG_ANSWER next_line nl_proof output patch possible_answers query ra rationale
    reference reference_answer_fullscale reference_code result solution solution_code solutions solutions.solution
    target targets test test_list tests
"""
"""The names in `answer_fields`: the label, the reference solution, the tests."""

TEXT_PARTS = {
    name: part
    for part, names in (("prompt", PROMPT), ("choices", CHOICES), ("passage", PASSAGE))
    for name in names.split()
} | {f"Incorrect Answer {number}": "choices" for number in (1, 2, 3)}

ANSWER_PARTS = dict.fromkeys([*ANSWER.split(), "Correct Answer"], "answer")
# Wrong answers, and the list of all answers, are not the answer.
ANSWER_PARTS |= {"classes": "choices", "incorrect_answers": "choices"}

EXCEPTIONS = {
    # A situation of a sentence or two, or the text of one logic question, written for the item: without it the
    # question ("What will she do next?", "Which of the following must be true?") is any question.
    ("social_iqa", "context"): "prompt",
    ("prost", "context"): "prompt",
    ("bbq", "context"): "prompt",
    ("logiqa", "context"): "prompt",
    ("reclor", "context"): "prompt",
    ("olympiadbench", "context"): "prompt",
    # Here `answer` and `answers` are candidates; the label says whether they are right.
    ("mc_taco", "answer"): "choices",
    ("super_glue/multirc", "answer"): "choices",
    ("reclor", "answers"): "choices",
    ("headqa", "answers"): "choices",
    # The task is to write it.
    ("code_x_glue", "docstring_tokens"): "answer",
    ("real_toxicity_prompts", "continuation.text"): "answer",
}
"""By key or family, and column. Apart from these, a benchmark without a prompt column has its passage as the prompt."""

JOINED = {"code_tokens", "docstring_tokens", "tokens"}
"""Columns that hold one text as a list of its tokens."""

# ---- what the table has no column for

HUB_ALIASES = {
    "allenai/ai2_arc": ["ai2_arc"],
    "aps/super_glue": ["super_glue"],
    "baber/piqa": ["ybisk/piqa", "piqa"],
    "cais/mmlu": ["lighteval/mmlu", "hails/mmlu_no_train"],
    "EleutherAI/headqa": ["dvilares/head_qa"],
    "haonan-li/cmmlu": ["lmlmcat/cmmlu"],
    "lighteval/siqa": ["allenai/social_i_qa"],
    "lighteval/squad_v2": ["rajpurkar/squad_v2"],
    "nyu-mll/glue": ["glue"],
    "princeton-nlp/SWE-bench_Lite": ["SWE-bench/SWE-bench_Lite"],
    "princeton-nlp/SWE-bench_Verified": ["SWE-bench/SWE-bench_Verified"],
    "regisss/math_qa": ["allenai/math_qa"],
    "SaylorTwift/bbh": ["lukaemon/bbh"],
}
"""Ids under which the same data with the same columns are, or were, on the hub."""

FAMILY_ALIASES = {
    "bbh": "big_bench_hard",
    "bigbench": "big_bench",
    "hendrycks_ethics": "ethics",
    "hendrycks_math": "math",
    "humaneval_pack": "humanevalpack",
    "mmlu": "hendrycks_test",
    "paws_x": "paws-x",
    "tydiqa_goldp": "tydiqa",
}
"""Another first step of the key."""

ALIASES = {
    "aime/1983-2024": ["aime_1983_2024"],
    "aime/2024": ["aime24", "aime_2024"],
    "aime/2025": ["aime25", "aime_2025"],
    "alpaca_eval": ["alpacaeval"],
    "amc/2023": ["amc23"],
    "anli/r1": ["anli_r1"],
    "anli/r2": ["anli_r2"],
    "anli/r3": ["anli_r3"],
    "aqua_rat": ["aqua"],
    "arc/challenge": ["arc_challenge", "ai2_arc/ARC-Challenge"],
    "arc/easy": ["arc_easy", "ai2_arc/ARC-Easy"],
    "arena_hard/v0.1": ["arena_hard"],
    "casehold": ["lex_glue/case_hold"],
    "commonsense_qa": ["csqa", "commonsenseqa"],
    "cosmosqa": ["cosmos_qa"],
    "crows_pairs/english": ["crows_pairs_english"],
    "eq_bench": ["eq_bench/v2"],
    "gpqa/diamond": ["gpqa_diamond"],
    "gpqa/extended": ["gpqa_extended"],
    "gpqa/main": ["gpqa_main"],
    "gsm8k/main": ["gsm8k"],
    "headqa/en": ["head_qa_en"],
    "hotpotqa/distractor": ["hotpotqa", "hotpot_qa"],
    "humaneval": ["openai_humaneval"],
    "humaneval_plus": ["humanevalplus"],
    "jeopardy/all": ["jeopardy"],
    "lambada/openai": ["lambada_openai"],
    "lambada/standard": ["lambada_standard"],
    "livecodebench/code_generation_lite": ["livecodebench"],
    "logiqa/en": ["logiqa"],
    "math_500": ["math500"],
    "mathqa": ["math_qa"],
    "mbpp/full": ["mbpp"],
    "mbpp/sanitized": ["mbpp_sanitized"],
    "mbpp_plus": ["mbppplus"],
    "medqa/usmle_4_options": ["medqa", "medqa_4options"],
    "minerva_math/ocw": ["ocwcourses"],
    "mt_bench": ["mtbench"],
    "nq_open": ["natural_questions_open"],
    "odex/en": ["odex"],
    "openbookqa/main": ["openbookqa", "obqa"],
    "piqa": ["physical_iqa"],
    "pubmedqa/pqa_labeled": ["pubmedqa", "pubmed_qa"],
    "race/high": ["race_high"],
    "race/middle": ["race_middle"],
    "simpleqa": ["simple_qa"],
    "social_iqa": ["siqa", "social_i_qa"],
    "squad/v1": ["squad"],
    "squad/v2": ["squad_v2", "squadv2"],
    "storycloze/2016": ["storycloze", "story_cloze"],
    "strategyqa": ["strategy_qa"],
    "super_glue/boolq": ["boolq"],
    "super_glue/cb": ["cb"],
    "super_glue/copa": ["copa"],
    "super_glue/multirc": ["multirc"],
    "super_glue/record": ["record"],
    "super_glue/wic": ["wic"],
    "super_glue/wsc.fixed": ["super_glue/wsc", "wsc"],
    "swag/regular": ["swag"],
    "swe_bench/lite": ["swe_bench_lite"],
    "swe_bench/verified": ["swe_bench_verified"],
    "triviaqa/rc.nocontext": ["triviaqa", "trivia_qa"],
    "truthfulqa/generation": ["truthful_qa/generation"],
    "truthfulqa/multiple_choice": ["truthful_qa/multiple_choice"],
    "web_questions": ["webqs"],
    "winograd/wsc273": ["wsc273"],
    "winogrande/xl": ["winogrande"],
}
"""Other names of a benchmark."""

NOTES = {
    "mawps": "The hub's file holds all of MAWPS and no column says which part: fetched, the four parts have the same rows."
}
"""By family."""

# ---- how sure, and which rows

READ = {"lm-eval", "decon", "lighteval", "helm", "evalscope"}
"""A fact that was read in one of these is verified."""

UNSURE_LICENSE = re.compile(r"unsure|unclear|unspecified|on request|^other|^mixed|^per-item")
ROW_FILTERS = {
    "equals": re.compile(r'^(\w+) == "([^"]*)"$'),
    "starts_with": re.compile(r'^(\w+) starts with "([^"]*)"$'),
}
WITHOUT_FILTER = re.compile(r"^subset \w+ \(AddSub/")  # MAWPS, see NOTES


def row_filter(text: str) -> dict[str, str] | None:
    """The table's words for a part of a file as `row_filter`."""
    if not text or WITHOUT_FILTER.match(text):
        return None
    for test, form in ROW_FILTERS.items():
        if found := form.match(text):
            return {"column": found[1], test: found[2]}
    raise ValueError(f"no form of row filter is like {text!r}")


def parts(row: dict[str, str]) -> dict[str, list[str]]:
    """The columns of each part, in the order of the table."""
    divided: dict[str, list[str]] = {"prompt": [], "choices": [], "answer": [], "passage": []}
    for field, rules in (("text_fields", TEXT_PARTS), ("answer_fields", ANSWER_PARTS)):
        for column in filter(None, row[field].split(",")):
            exception = EXCEPTIONS.get((row["key"], column)) or EXCEPTIONS.get((row["family"], column))
            if exception is None and column not in rules:
                raise ValueError(f"{row['key']}: no rule says which part {field} {column!r} is")
            divided[exception or rules[column]].append(column)
    if not divided["prompt"]:
        divided["prompt"], divided["passage"] = divided["passage"], []
    if not divided["prompt"]:
        raise ValueError(f"{row['key']}: no column is its prompt")
    return divided


def unsure(row: dict[str, str]) -> list[str]:
    """The facts of a row that were not read in an evaluation suite, and its licence if that is shaky."""
    facts = {"path": row["conf_path"], "split": row["conf_splits"], "columns": row["conf_fields"]}
    shaky = [fact for fact, source in facts.items() if source not in READ]
    return shaky + ["license"] * bool(UNSURE_LICENSE.search(row["license"]))


def aliases(row: dict[str, str]) -> list[str]:
    """Other names of the benchmark."""
    first, _, rest = row["key"].partition("/")
    other = [f"{FAMILY_ALIASES[first]}/{rest}"] if rest and first in FAMILY_ALIASES else []
    return other + ALIASES.get(row["key"], [])


def entry(row: dict[str, str]) -> str:
    """A row of the table as three lines of YAML: what it is, where it is, what its columns are."""
    what = {"key": row["key"], "family": row["family"], "aliases": aliases(row)}
    what |= {"language": row["language"], "license": row["license"].replace(" (unsure)", "")}
    doubts = unsure(row)
    what |= {"unsure": doubts, "verified": not set(doubts) - {"license"}, "note": NOTES.get(row["family"])}
    splits = row["splits"].split(",")
    hub = {"path": row["hf_path"], "config": row["hf_config"], "split": splits if splits[1:] else splits[0]}
    where = {
        "hf": present(hub | {"aliases": HUB_ALIASES.get(row["hf_path"])}),
        "row_filter": row_filter(row["row_filter"]),
    }
    columns = parts(row)
    tokens = [column for part in columns.values() for column in part if column in JOINED]
    lines = [flow(what), flow(where), flow(columns | {"joined": tokens})]
    return "- {" + ",\n   ".join(lines) + "}\n"


def present(values: dict[str, Any]) -> dict[str, Any]:
    """The values that say something."""
    return {name: value for name, value in values.items() if value}


def flow(values: dict[str, Any]) -> str:
    """The inside of a YAML mapping, on one line."""
    text: str = yaml.safe_dump(
        present(values), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
    )
    return text.strip()[1:-1].replace("verified: true", "verified: yes")


def registry(table: pathlib.Path) -> str:
    """The whole YAML file.

    Raises:
        ValueError: for a column or a row filter that no rule above names.
    """
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    text = [HEAD, "benchmarks:\n"]
    for family, members in itertools.groupby(rows, key=lambda row: row["family"]):
        entries = [entry(row) for row in members]
        text += [f"# {family}: {len(entries)}\n", *entries]
    return "".join(text)


if __name__ == "__main__":
    TARGET.write_text(registry(pathlib.Path(sys.argv[1])), encoding="utf-8")
