"""The dossier: what the person who approves sees, whatever was found."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refit.config import Evaluation, Promotion
from refit.digests import canonical_json
from refit.evaluation.comparison import Comparison, compare
from refit.evaluation.dossier import record_of
from refit.evaluation.dossier_page import Dossier, dossier_page
from refit.evaluation.holdout_lists import Judged
from refit.evaluation.list_examples import Example, ListedItem
from refit.evaluation.metrics import METRICS
from refit.evaluation.promotion_gate import judge_promotion
from refit.evaluation.ratings import Missed
from refit.model.item_factors import ItemFactors
from refit.rendering.charts import NotDrawableError
from refit.rendering.interval_chart import Line, interval_chart
from refit.testing import planted

HOSTILE = "<script>alert(1)</script> & 'Größe'"
POLICY = Promotion()


def compared(judged: Judged) -> Comparison:
    model = ItemFactors(
        items=judged.items,
        factors=np.ones((len(judged.items), 1), dtype=np.float32),
        people=np.arange(len(judged.items), 0, -1),
        alpha=1.0,
        regularisation=1.0,
        facts={},
    )
    settings = Evaluation(seed=1, ks=(20,), resamples=200)
    return compare(judged, model, settings, POLICY, everybody=1_000)


def dossier(judged: Judged, **changes: Any) -> Dossier:
    found = compared(judged)
    made = Dossier(
        shop=HOSTILE,
        verdict=judge_promotion(found, POLICY),
        compared=found,
        judged=judged,
        policy=POLICY,
        champion=7,
        facts={"cutoff": "2026-03-01T00:00:00+00:00", "people": 4_011, "training_set": "0123456789abcdef" * 4},
        people=list(range(len(judged.items), 0, -1)),
    )
    return replace(made, **changes)


def text_of(page: str) -> str:
    """Return what a reader sees of the body."""
    body = page[page.index("<body>") : page.index("</body>") + len("</body>")]
    return " ".join("".join(f"{part} " for part in ET.fromstring(body).itertext()).split())


@pytest.fixture(scope="module")
def better() -> Judged:
    return planted(1_500, gain=0.5, seed=1)


def test_the_verdict_and_its_lines_come_first(better: Judged) -> None:
    made = dossier(better)
    told = text_of(dossier_page(made))
    assert told.startswith(
        f"{HOSTILE} Challenger trained before 2026-03-01 ✓ propose Better than the champion: ndcg@20 "
    )
    lines = [reason[1:] for reason in made.verdict.reasons]
    assert len(lines) == 3
    assert [told.index(line) for line in lines] == sorted(told.index(line) for line in lines)
    assert (
        told.index(lines[-1])
        < told.index("1,500 people judged · lists of 20 · champion version 7")
        < told.index("Every model")
    )


def test_every_mean_and_cohort_is_on_the_page(better: Judged) -> None:
    made = dossier(better)
    told = text_of(dossier_page(made))
    for model, row in made.compared.means().items():
        assert model in told
        for value in row.values():
            assert f"{value:.4f}" in told
    for name, cohort in made.compared.cohorts.items():
        assert f"{name} {cohort.people:,} {cohort.rival_mean:.4f}" in told
    assert "too small, needs 100" in told
    assert "4,011" in told


def test_a_refusal_reads_as_one() -> None:
    told = text_of(dossier_page(dossier(planted(1_500, gain=-0.4, seed=1))))
    assert "✕ refuse Worse than the champion: " in told


def test_the_page_needs_nothing_outside_it_and_runs_nothing(better: Judged) -> None:
    example = Example(
        HOSTILE, 3, 1, [HOSTILE], {"champion": [ListedItem(HOSTILE, False)], "challenger": [ListedItem("b", True)]}
    )
    trial = {"number": 0, "kind": HOSTILE, "values": {HOSTILE: HOSTILE}, "scores": [0.1], "state": "done"}
    drift = {"decision": HOSTILE, "reasons": [HOSTILE]}
    page = dossier_page(dossier(better, examples=[example], tuning=[trial], drift=drift, notes=[HOSTILE]))
    assert "<script" not in page
    assert not re.search(r"(?:src|href|url)\s*[=(]", page)
    assert "✓ b" in text_of(page)


def test_before_there_is_a_champion_cohorts_are_compared_with_popularity(better: Judged) -> None:
    hits = {name: found for name, found in better.hits.items() if name != "champion"}
    lists = {name: found for name, found in better.lists.items() if name != "champion"}
    told = text_of(dossier_page(dossier(replace(better, hits=hits, lists=lists), champion=None)))
    assert "no champion yet" in told
    assert "Against the champion" not in told
    assert "NDCG@20 of popularity" in told


def test_nobody_judged_is_a_page_too() -> None:
    nobody = planted(10, gain=0.0, seed=1)
    empty = replace(
        nobody,
        users=nobody.users[:0],
        relevant=nobody.relevant[:0],
        past=nobody.past[:0],
        hits={name: found[:0] for name, found in nobody.hits.items()},
        lists={name: found[:0] for name, found in nobody.lists.items()},
        described=replace(
            nobody.described,
            activity=nobody.described.activity[:0],
            first_seen_days=np.empty(0),
            segments={"country": nobody.described.segments["country"][:0]} if nobody.described.segments else None,
        ),
    )
    made = dossier(empty)
    assert made.compared.means()["challenger"] == dict.fromkeys(METRICS, 0.0)
    assert (
        json.loads(canonical_json(record_of(made.verdict, made.compared, None, champion_judged_by="itself")))[
            "decision"
        ]
        == "refuse"
    )
    told = text_of(dossier_page(made))
    assert "0 people could be judged, at least 1 are needed as evidence" in told


def test_ratings_are_shown_where_a_shop_has_them(better: Judged) -> None:
    """Everybody gave one rating; the challenger misses each by 0.7, the baseline by 0.9."""
    ones = np.ones(better.people)
    missed = Missed(
        ratings=np.ones(better.people, dtype=np.int64),
        squared={"challenger": 0.49 * ones, "item_mean": 0.81 * ones},
        absolute={"challenger": 0.7 * ones, "item_mean": 0.9 * ones},
    )
    told = text_of(dossier_page(dossier(replace(better, ratings=missed))))
    assert "challenger 0.7000 (0.7000 to 0.7000) 0.7000 (0.7000 to 0.7000)" in told
    assert "item mean 0.9000 (0.9000 to 0.9000) 0.9000 (0.9000 to 0.9000) -0.2000 (-0.2000 to -0.2000)" in told
    assert "1,500 ratings by 1,500 people" in told
    assert "predicted ratings" not in text_of(dossier_page(dossier(better)))


def test_metrics_over_everybody_stand_beside_those_over_judges(better: Judged) -> None:
    """Everybody wanted one item more than could be asked about, and as many people as judge were new."""
    counted = replace(better, wanted=better.relevant + 1)
    asked = {"people": 3_000, "new_people": 1_500, "people_of_new_items": 0, "items": 400, "new_items": 7}
    made = dossier(counted)
    model = ItemFactors(
        items=better.items,
        factors=np.ones((len(better.items), 1), dtype=np.float32),
        people=np.ones(len(better.items), dtype=np.int64),
        alpha=1.0,
        regularisation=1.0,
        facts={},
    )
    settings = Evaluation(seed=1, ks=(20,), resamples=200)
    found = compare(counted, model, settings, POLICY, everybody=9, asked=asked, judges=1_500)
    assert found.everybody is not None
    hits = better.hits["challenger"].sum(axis=1)
    recall = float((hits / (better.relevant + 1)).sum() / 3_000)
    assert found.everybody.metrics["challenger"]["recall@20"] == pytest.approx(recall)
    told = text_of(dossier_page(replace(made, compared=found)))
    assert "1,500 of 3,000 people who came to want something can judge: 1,500 were new" in told
    assert f"{recall:.4f}" in told
    assert "Over everybody: 3,000 people" in told
    assert "Over everybody" not in text_of(dossier_page(made))


def test_how_the_model_learnt_is_a_picture_where_it_is_known(better: Judged) -> None:
    """Four points: without factors and after each of three iterations; MLlib tells nothing of its iterations."""
    made = dossier(better)
    page = dossier_page(replace(made, facts={**made.facts, "learning": [0.8, 0.5, 0.4]}))
    assert "What is left of the objective" in text_of(page)
    assert re.findall(r"<title>(\d): challenger ([\d.]+)</title>", page) == [
        ("0", "1"),
        ("1", "0.8"),
        ("2", "0.5"),
        ("3", "0.4"),
    ]
    spread = dossier_page(replace(made, facts={**made.facts, "engine": {"name": "mllib", "why": "told to"}}))
    assert "MLlib shows no factors between its iterations" in text_of(spread)
    assert "Learning" not in text_of(dossier_page(made))


def test_an_interval_lies_where_its_numbers_say() -> None:
    """From -10% to +30% the axis is 100 wide; 0 lies a quarter of the way."""
    lines = [Line("a", -0.1, 0.1, 0.3, "good", limit=-0.05), Line("b", 0.0, 0.0, 0.0)]
    drawn = interval_chart(lines, title="t", percent=True)
    root = ET.fromstring(f"<x>{drawn}</x>")
    paths = [(path.attrib.get("stroke-width"), path.attrib["d"]) for path in root.iter("path")]
    bars, dots = ([place for width, place in paths if width == wanted] for wanted in ("3", "10"))
    assert bars == ["M0.00 13H100.00", "M25.00 13H25.00"]
    assert dots == ["M50.00 13H50.00", "M25.00 13H25.00"]
    assert [path.attrib["d"] for path in root.iter("path") if path.attrib.get("class") == "guide"] == ["M12.50 0V26"]
    marks = {span.text: span.attrib["style"] for span in root.iter("span") if "style" in span.attrib}
    assert marks == {"-10%": "left:0.00%", "0": "left:25.00%", "+10%": "left:50.00%"} | {
        "+20%": "left:75.00%",
        "+30%": "left:100.00%",
    }
    assert "+10.0% (-10.0 to +30.0)" in "".join(root.itertext())


def test_on_a_narrow_page_each_cell_of_a_wide_table_carries_its_header(better: Judged) -> None:
    """Numbers at the right of a table are not cut off where nobody scrolls: the frame of MLflow is 460 pixels wide."""
    page = dossier_page(dossier(better))
    body = ET.fromstring(page[page.index("<body>") : page.index("</body>") + len("</body>")])
    wide = [found for found in body.iter("div") if found.attrib.get("class") == "wide cards"]
    assert len(wide) >= 3
    for found in wide:
        heads = [head.text or "" for head in found.iter("th")]
        for row in found.find("table/tbody") or ():
            assert [cell.attrib.get("data-head", "") for cell in row] == ["", *heads[1:]]


def test_nothing_and_infinity_are_told_apart() -> None:
    assert "Nothing to show" in interval_chart([], title="t")
    with pytest.raises(NotDrawableError):
        interval_chart([Line("a", 0.0, float("nan"), 1.0)], title="t")
