"""How models are compared on the holdout, and when a challenger may be submitted for approval."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refit.config.parts import Count, Section, Share

Level = Annotated[float, Field(gt=0.5, lt=1)]
Baseline = Literal["recent_popularity", "items_cosine", "items_pearson", "people_cosine", "people_pearson"]


class Evaluation(Section):
    """How models are compared on the holdout."""

    k: Count = 20
    """Length of the lists that decide."""
    ks: tuple[Count, ...] = (5, 10, 20)
    """Lengths at which every metric is reported; `k` is always one of them."""
    max_people: Count = 20_000
    """Largest number of judged people, drawn anew for each training set; bounds time and memory."""
    resamples: Annotated[int, Field(ge=100)] = 2_000
    """Bootstrap resamples of people behind each interval."""
    level: Level = 0.95
    """Level of the intervals."""
    seed: int = Field(examples=[20260101])
    """Seed of the bootstrap and of all samples, combined with the training set, so that each set has other people."""
    cohorts: tuple[str, ...] = ()
    """Segment columns of the users table, or else of the events, whose values define cohorts."""
    most_values: Count = 8
    """Number of most frequent values of a segment column that become cohorts; all other people form one more."""
    new_days: Count = 28
    """A person is new if the first event is at most this many days before the cutoff."""
    recent_days: Count = 28
    """Days before the cutoff from which recent popularity is computed."""
    baselines: tuple[Baseline, ...] = (
        "recent_popularity",
        "items_cosine",
        "items_pearson",
        "people_cosine",
        "people_pearson",
    )
    """Baselines beside the challenger, trained on the same pairs; popularity is always included."""
    neighbours: Count = 100
    """Neighbours per item or person in the neighbourhood baselines."""
    neighbour_pairs: Count = 2_000_000
    """Largest number of pairs to train neighbourhoods; for a larger set, people are sampled by a hash of their id."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every length at which lists are judged, ascending."""
        return tuple(sorted({*self.ks, self.k}))

    def drawn_for(self, training_set: str) -> Evaluation:
        """
        Return the settings with the seed of *training_set*, a digest.

        The same set always draws the same people, another set draws others: so a model that suits one sample by chance
        is not judged by it every week.
        """
        drawn = sha256(f"{self.seed} {training_set}".encode()).digest()
        # Spark's longs are signed.
        return self.model_copy(update={"seed": int.from_bytes(drawn[:8], "big") >> 1})


class Promotion(Section):
    """When a challenger may be submitted for approval."""

    metric: Literal["ndcg", "recall", "capped_recall", "precision", "map", "mrr", "hit_rate"] = "ndcg"
    """The deciding metric; `capped_recall` divides by min(k, relevant), `recall` by the number of relevant items."""
    margin: Share = 0.02
    """Tolerated loss against the champion, as a share of the champion's metric."""
    min_people: Count | None = None
    """Fewest judged people that count as evidence; none: `training.min_people`."""
    min_differing: Count = 10
    """
    Fewest judged people with a different result for a challenger without a shown gain to count as "not worse".
    """
    max_total_loss: Share = 0.1
    """
    Tolerated total loss of all promotions since the anchor, the recipe of an earlier champion trained on the same days,
    as a share of the anchor's metric; at least `margin`.
    """
    cohort_margin: Share = 0.1
    """Tolerated loss in one cohort, as a share of the champion's metric there."""
    cohort_people: Count = 100
    """Fewest judged people of a cohort that is judged separately."""
    unclear_cohorts: Literal["report", "refuse"] = "report"
    """
    How to treat a cohort with neither a shown loss nor an excluded loss beyond the margin: report it, or refuse.
    """
    max_narrowing: Share = 0.2
    """Tolerated loss of catalogue coverage against the champion, as a share of the champion's coverage."""

    @model_validator(mode="after")
    def _one_promotion_fits_the_total(self) -> Self:
        if self.max_total_loss < self.margin:
            raise ValueError(
                f"margin = {self.margin:g} tolerates more in one promotion than max_total_loss = "
                f"{self.max_total_loss:g} in all; raise max_total_loss or lower margin"
            )
        return self


class RefitGuards(Section):
    """
    How far a refitted model may be from its judged twin.

    The refitted model has seen the holdout, so nothing here is evidence that it is good: the guards notice a training
    that went wrong. Outside one of them the twin is offered instead.
    """

    min_overlap: Share = 0.3
    """Smallest mean share of a person's list that both models have in common."""
    max_metric_loss: Share = 0.02
    """Tolerated loss of the refitted model on the holdout, which it has seen, as a share of the twin's metric."""
    max_narrowing: Share = 0.2
    """Tolerated loss of catalogue coverage, as a share of the twin's coverage."""
    max_norm_ratio: Annotated[float, Field(gt=1)] = 2.0
    """Largest ratio, in either direction, of root mean squares: of all item factors, and of all links."""
    max_shrinkage: Share = 0.02
    """Tolerated loss of pairs, people or items: more days teach more, but for what was cancelled later."""
