"""One suite for every engine and kind of model: the same questions, answers that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from refit.adapters.implicit import ImplicitLibrary
from refit.config import Als, Blend, ClosedForm, Confidence, ModelSettings, Neighbours, RepeatWeight
from refit.errors import ConfigurationError, DataRefusedError, NotEnoughDataError
from refit.model.item_factors import ItemFactors
from refit.testing import Checkerboard
from refit.training import Size, choose_engine, collect_pairs, train
from refit.training.blending import people_vectors
from refit.training.mllib_als import blocks_for, require_supported
from refit.tuning.scoring import HoldoutPeople, judge, scores_of

PAIRS = "user_id string, item_id string, confidence double"
BOARD = Checkerboard(16, user_name="Käufer {:02d} ☂".format, item_name="Bücher {:02d} 本".format)
Trainer = Callable[..., ItemFactors]


def settings(kind: str, **als: object) -> ModelSettings:
    """Return small settings of a model of *kind*."""
    return ModelSettings(
        kind=kind,
        als=Als(**{"rank": 4, "iterations": 5, "alpha": 10.0, "seed": 3, **als}),
        neighbours=Neighbours(neighbours=10, shrinkage=1.0),
        closed_form=ClosedForm(regularisation=2.0, links=15),
        habit=RepeatWeight(),
        blend=Blend(),
        confidence=Confidence(value="linear", combine="latest"),
        weights={"purchase": 1.0},
    )


MODELS = {
    "mllib": settings("als", engine="mllib", iterations=4),
    "implicit": settings("als", engine="implicit"),
    "implicit with Cholesky": settings("als", engine="implicit", solver="cholesky"),
    "implicit, the same strength for all": settings("als", engine="implicit", frequency_exponent=0.0),
    "neighbours": settings("neighbours"),
    "closed_form": settings("closed_form"),
    "blend": settings("blend"),
    "blend with neighbours and habit": settings("blend").with_values(
        {"blend.links": "neighbours", "habit.weight": 2.0}
    ),
}
FACTORS = {name: chosen for name, chosen in MODELS.items() if chosen.kind == "als"}
every_model = pytest.mark.parametrize("chosen", MODELS.values(), ids=MODELS)
factor_models = pytest.mark.parametrize("chosen", FACTORS.values(), ids=FACTORS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Give what trains with the real library and Spark; the same question is answered from memory."""
    known: dict[tuple[object, ...], ItemFactors] = {}
    checkpoints = str(tmp_path_factory.mktemp("engines") / "checkpoints")

    def make(pairs: DataFrame, chosen: ModelSettings) -> ItemFactors:
        asked = (id(pairs), chosen.model_dump_json())
        if asked not in known:
            facts = {"cutoff": "2026-01-05"}
            known[asked] = train(pairs, chosen, facts, factoriser=ImplicitLibrary(1), checkpoints=checkpoints)
        return known[asked]

    return make


@pytest.fixture(scope="module")
def likes(spark: SparkSession) -> DataFrame:
    """Give the likes of a checkerboard, and one pair that teaches nothing."""
    rows = [(*pair, 1.0) for pair in BOARD.pairs()]
    return spark.createDataFrame([*rows, ("nobody", "nothing", 0.0)], PAIRS).coalesce(2).persist()


@pytest.fixture(scope="module")
def tastes(spark: SparkSession) -> DataFrame:
    """Give 60 people x 30 items in three tastes, the items of a taste the more popular the smaller their number."""
    generator = np.random.default_rng(5)
    rows = []
    for person in range(60):
        for item in range(30):
            wanted = 0.75 if item % 3 == person % 3 else 0.08
            if generator.random() < wanted / (1 + item / 20):
                rows.append((f"u{person:02d}", f"i{item:02d}", float(generator.uniform(0.2, 3.0))))
    return spark.createDataFrame(rows, PAIRS).coalesce(2).persist()


@every_model
def test_on_a_checkerboard_everybody_is_recommended_the_item_that_was_withheld(
    chosen: ModelSettings, likes: DataFrame, trained: Trainer
) -> None:
    model = trained(likes, chosen)
    pairs = collect_pairs(likes)
    scores = scores_of(model, pairs.confidences)
    scores[pairs.confidences.toarray() > 0] = -np.inf
    best = model.items.take(pa.array(scores.argmax(axis=1))).to_pylist()
    assert best == list(BOARD.withheld().values())


@every_model
def test_the_same_pairs_give_the_same_bytes_however_they_are_spread(
    chosen: ModelSettings, tastes: DataFrame, trained: Trainer
) -> None:
    again = trained(tastes.repartition(3, "item_id"), chosen)
    assert again.to_files() == trained(tastes, chosen).to_files()


@every_model
def test_a_model_knows_its_items_in_order_and_what_it_was_made_with(
    chosen: ModelSettings, likes: DataFrame, trained: Trainer
) -> None:
    """Seven people like each item; an item that nobody likes is unknown, and after a round trip all is as before."""
    model = trained(likes, chosen)
    assert model.items.to_pylist() == sorted(BOARD.withheld().values())
    assert model.people.tolist() == [7] * 16
    assert model.positions(pa.array(["nothing", "unheard of", BOARD.item_name(3)])).tolist() == [-1, -1, 3]
    again = ItemFactors.from_files(model.to_files())
    assert again.facts["cutoff"] == "2026-01-05"
    assert again.facts["kind"] == chosen.kind
    assert ModelSettings.model_validate(again.facts["settings"]) == chosen
    assert again.rank == (0 if chosen.kind in ("neighbours", "closed_form") else 4)
    assert (again.links is None) == (chosen.kind == "als")
    assert again.facts["engine"]["why"]


@pytest.mark.parametrize("solver", ["cholesky", "conjugate_gradient"])
@pytest.mark.parametrize(("exponent", "regularisation"), [(1.0, 0.07), (0.5, 0.4), (0.0, 2.0)])
def test_item_factors_of_the_library_solve_the_equations_that_people_are_folded_in_by(
    tastes: DataFrame, trained: Trainer, exponent: float, regularisation: float, solver: str
) -> None:
    """
    After many alternations nothing moves: folding people in and solving the items for them gives the items again.

    (XtX + Xt (C - I) X + lambda n^e I) y = Xt C p, written out with the full matrix, shows that c = 1 + alpha r and the
    regularisation are exactly those of the fold-in.
    """
    chosen = settings(
        "als",
        engine="implicit",
        iterations=200,
        alpha=1.5,
        solver=solver,
        frequency_exponent=exponent,
        regularisation=regularisation,
    )
    model, matrix = trained(tastes, chosen), collect_pairs(tastes).confidences.toarray()
    people = np.array([solved_for(model, row) for row in matrix])
    for item in range(30):
        c = 1 + 1.5 * matrix[:, item]
        p = (matrix[:, item] > 0).astype(float)
        ridge = regularisation * p.sum() ** exponent * np.eye(4)
        solved = np.linalg.solve((people.T * c) @ people + ridge, (people.T * c) @ p)
        np.testing.assert_allclose(model.factors[item], solved, atol=2e-3 * np.abs(model.factors).max())


def solved_for(model: ItemFactors, confidences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vector of a person by the textbook's equation."""
    wanted = confidences > 0
    items = model.factors.astype(np.float64)
    c = 1 + model.alpha * confidences
    ridge = model.regularisation * wanted.sum() ** model.frequency_exponent * np.eye(model.rank)
    return np.linalg.solve((items.T * c) @ items + ridge, items.T @ (c * wanted))


@factor_models
def test_people_of_the_training_set_are_folded_in_like_anybody(
    chosen: ModelSettings, tastes: DataFrame, trained: Trainer
) -> None:
    """The vectors that blending and tuning use are those of the fold-in."""
    model, matrix = trained(tastes, chosen), collect_pairs(tastes).confidences
    vectors = people_vectors(model, matrix)
    for person in (0, 7, 59):
        expected = solved_for(model, matrix[[person]].toarray()[0])
        np.testing.assert_allclose(vectors[person], expected, rtol=1e-7, atol=1e-9)


@pytest.fixture(scope="module")
def withheld(spark: SparkSession, tastes: DataFrame) -> tuple[DataFrame, dict[int, int]]:
    """Give the pairs of `tastes` without one item of their own taste of each person, and which item that is."""
    rows = {(row[0], row[1]): row[2] for row in tastes.collect()}
    chosen = {}
    for person in range(60):
        own = [item for item in range(30) if item % 3 == person % 3 and (f"u{person:02d}", f"i{item:02d}") in rows]
        chosen[person] = own[person % len(own)]
        del rows[f"u{person:02d}", f"i{chosen[person]:02d}"]
    return spark.createDataFrame([(*pair, value) for pair, value in rows.items()], PAIRS).coalesce(2), chosen


@every_model
def test_every_model_is_better_than_popularity_where_tastes_differ(
    chosen: ModelSettings, withheld: tuple[DataFrame, dict[int, int]], trained: Trainer
) -> None:
    """Of each person one item of their taste is withheld; popularity cannot know whose taste it is."""
    pairs, missing = withheld
    model, matrix = trained(pairs, chosen), collect_pairs(pairs)
    relevant = np.zeros((60, 30))
    relevant[list(missing), list(missing.values())] = 1
    sparse = type(matrix.confidences)
    judges = HoldoutPeople(matrix.items, sparse(matrix.confidences > 0), sparse(relevant), np.ones(60, dtype=np.int64))
    ours = judge(model, matrix.confidences, judges, metric="ndcg", k=5)
    popular = np.where(matrix.confidences.toarray() > 0, -1, model.people)
    ranks = np.argsort(np.argsort(-popular, axis=1, kind="stable"), axis=1)[np.arange(60), list(missing.values())]
    theirs = float(np.where(ranks < 5, 1 / np.log2(ranks + 2.0), 0).mean())
    assert ours > 1.3 * theirs


@every_model
@pytest.mark.parametrize("one", ["person", "item"])
def test_one_person_or_one_item_is_enough_for_a_model_of_rank_1(
    chosen: ModelSettings, one: str, spark: SparkSession, trained: Trainer
) -> None:
    rows = [("ann", "tea", 1.0), ("ann", "mug", 2.0)] if one == "person" else [("ann", "tea", 1.0), ("ben", "tea", 0.5)]
    pairs = spark.createDataFrame(rows, PAIRS).coalesce(1)
    model = trained(pairs, chosen.with_values({"als.rank": 1, "als.iterations": 1}))
    assert model.items.to_pylist() == sorted({item for _, item, _ in rows})
    assert np.isfinite(scores_of(model, collect_pairs(pairs).confidences)).all()


def test_what_cannot_be_learnt_from_is_refused_in_one_sentence_before_any_engine_is_asked(
    spark: SparkSession, trained: Trainer, tell: Callable[[str, str], None]
) -> None:
    chosen = MODELS["implicit"]
    for value, what in ((float("nan"), "NaN"), (-1.0, "negative"), (float("inf"), "infinite"), (None, "missing")):
        with pytest.raises(DataRefusedError, match=rf"^1 of 2 pairs have a confidence .*{what}") as refused:
            trained(spark.createDataFrame([("ann", "tea", 1.0), ("ben", "mug", value)], PAIRS), chosen)
    tell("a confidence that is NaN", str(refused.value))
    with pytest.raises(NotEnoughDataError, match=r"none of the 1 pairs .* above 0") as refused:
        trained(spark.createDataFrame([("ann", "tea", 0.0)], PAIRS), chosen)
    tell("no interaction in the window", str(refused.value))
    with pytest.raises(NotEnoughDataError, match="none of the 0 pairs"):
        trained(spark.createDataFrame([], PAIRS), chosen)


@pytest.mark.parametrize(
    "chosen", [MODELS["mllib"], MODELS["implicit"], MODELS["blend"]], ids=["mllib", "implicit", "blend"]
)
def test_a_rank_that_the_data_do_not_support_is_refused(
    chosen: ModelSettings, likes: DataFrame, trained: Trainer, tell: Callable[[str, str], None]
) -> None:
    with pytest.raises(NotEnoughDataError, match=r"als\.rank = 17 .* at most 16") as refused:
        trained(likes, chosen.with_values({"als.rank": 17}))
    tell("a rank larger than the data support", str(refused.value))


def test_more_people_than_32_bits_can_number_are_refused(tell: Callable[[str, str], None]) -> None:
    require_supported(8, people=2**31 - 1, items=10)
    with pytest.raises(
        NotEnoughDataError, match=r"2,147,483,648 people, and MLlib numbers at most 2,147,483,647"
    ) as refused:
        require_supported(8, people=2**31, items=10)
    tell("ids beyond 32 bits", str(refused.value))


def test_auto_takes_the_machine_as_long_as_the_set_fits_it_and_says_so() -> None:
    small = Size(pairs=1_000_000, people=50_000, items=5_000)
    large = Size(pairs=1_000_000_000, people=50_000_000, items=1_000_000)
    here = choose_engine(small, Als(seed=1))
    assert here.name == "implicit"
    assert "1,000,000 pairs of about 50,000 people and 5,000 items" in here.why
    assert "4 GB are allowed" in here.why
    assert choose_engine(large, Als(seed=1)).name == "mllib"
    assert choose_engine(small, Als(seed=1, local_memory_gb=0.1)).name == "mllib"
    assert choose_engine(small, Als(seed=1, preferences="explicit")).why == "only MLlib has explicit preferences"
    assert blocks_for(large.pairs, 16) == 50
    with pytest.raises(NotEnoughDataError, match="MLlib cannot use frequency_exponent = 0;"):
        choose_engine(large, Als(seed=1, frequency_exponent=0))


def test_the_counts_of_a_training_set_decide_without_counting_again(likes: DataFrame) -> None:
    counts = {"pairs": 56, "people": 16, "items": 16}
    chosen = settings("als").with_values({"als.iterations": 1})
    model = train(likes, chosen, counts, factoriser=ImplicitLibrary(1), checkpoints="unused")
    assert model.facts["engine"]["name"] == "implicit"
    assert model.facts["engine"]["why"].startswith("56 pairs of about 16 people and 16 items at rank 4 need")
    assert choose_engine(Size(**counts), chosen.als).why == model.facts["engine"]["why"]


def test_links_of_a_set_that_does_not_fit_the_machine_are_refused(likes: DataFrame, trained: Trainer) -> None:
    with pytest.raises(NotEnoughDataError, match=r"links between items are made on one machine.*1e-06 GB are allowed"):
        trained(likes, MODELS["closed_form"].with_values({"als.local_memory_gb": 1e-6}))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"als.engine": "mllib", "als.frequency_exponent": 0.0}, "MLlib always multiplies the regularisation by n"),
        ({"als.engine": "implicit", "als.nonnegative": True}, "needs engine = 'mllib'"),
        ({"als.preferences": "explicit", "als.frequency_exponent": 0.5}, "use frequency_exponent = 1"),
        ({"als.preferences": "explicit", "confidence.combine": "sum"}, "a pair must keep its rating"),
        ({"als.preferences": "explicit", "kind": "closed_form"}, "cannot predict ratings; train als"),
    ],
)
def test_settings_that_no_engine_has_are_refused_in_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        settings("als").with_values(values)


def test_explicit_preferences_predict_the_ratings_themselves(spark: SparkSession, trained: Trainer) -> None:
    """Everybody of a taste rates its items 5 and the others 1; a model of rank 2 must find these numbers again."""
    rows = [
        (f"u{u:02d}", f"i{i:02d}", 5.0 if u % 2 == i % 2 else 1.0) for u in range(20) for i in range(12) if u % 12 != i
    ]
    chosen = settings("als", preferences="explicit", rank=2, regularisation=0.01, iterations=10)
    model = trained(spark.createDataFrame(rows, PAIRS), chosen)
    assert not model.implicit
    assert model.facts["engine"] == {"name": "mllib", "why": "only MLlib has explicit preferences"}
    for person in range(4):
        rated = np.array([item for item in range(12) if item != person])
        given = np.where(rated % 2 == person % 2, 5.0, 1.0)
        y = model.factors[rated].astype(float)
        vector = np.linalg.solve(y.T @ y + 0.01 * len(rated) * np.eye(2), y.T @ given)
        assert model.factors[person] @ vector == pytest.approx(5.0, abs=0.3)


def test_factors_without_negative_numbers_are_to_be_had_of_mllib(tastes: DataFrame, trained: Trainer) -> None:
    model = trained(tastes, settings("als", nonnegative=True, iterations=1))
    assert model.facts["engine"] == {"name": "mllib", "why": "only MLlib has non-negative factors"}
    assert (model.factors >= 0).all()
