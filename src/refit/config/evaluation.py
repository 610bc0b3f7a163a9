"""How models are compared on the holdout, and when a challenger may be put before a person."""

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
    """At most so many people are judged, drawn anew for each training set; bounds the time and the memory."""
    resamples: Annotated[int, Field(ge=100)] = 2_000
    """Bootstrap resamples of people behind each interval."""
    level: Level = 0.95
    """Level of the intervals."""
    seed: int = Field(examples=[20260101])
    """Seed of the bootstrap and of every sample, together with the training set: each set is judged by other people."""
    cohorts: tuple[str, ...] = ()
    """Segment columns, of the users table or else of the events, whose values are cohorts of their own."""
    most_values: Count = 8
    """Cohorts made of one segment column: its most frequent values; people of the others are one more cohort."""
    new_days: Count = 28
    """A person whose first event lies at most so many days before the cutoff is new."""
    recent_days: Count = 28
    """What was touched in the last so many days before the cutoff is recently popular."""
    baselines: tuple[Baseline, ...] = (
        "recent_popularity",
        "items_cosine",
        "items_pearson",
        "people_cosine",
        "people_pearson",
    )
    """What the challenger is shown beside, trained on the same pairs; popularity is always there."""
    neighbours: Count = 100
    """Neighbours that an item or a person has in the neighbourhood baselines."""
    neighbour_pairs: Count = 2_000_000
    """Pairs that teach neighbourhoods; of a larger training set, people are sampled by a hash of their id."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every length at which lists are judged, ascending."""
        return tuple(sorted({*self.ks, self.k}))

    def drawn_for(self, training_set: str) -> Evaluation:
        """
        Return the settings with the seed of *training_set*, a digest.

        The same set draws the same people always, another one others: a model that suits 20,000 people by chance does
        not meet the same ones every week.
        """
        drawn = sha256(f"{self.seed} {training_set}".encode()).digest()
        # Spark's longs have a sign.
        return self.model_copy(update={"seed": int.from_bytes(drawn[:8], "big") >> 1})


class Promotion(Section):
    """When a challenger may be put before a person."""

    metric: Literal["ndcg", "recall", "capped_recall", "precision", "map", "mrr", "hit_rate"] = "ndcg"
    """The metric that decides; `capped_recall` divides by min(k, relevant), `recall` by everything that is relevant."""
    margin: Share = 0.02
    """Loss against the champion that is tolerated, as a share of the champion's metric."""
    min_people: Count | None = None
    """Fewer judged people than this are no evidence; none: what `training.min_people` asks of a holdout is enough."""
    min_differing: Count = 10
    """
    Without a shown gain a challenger is only "not worse" if at least so many judged people fare differently with it.
    """
    max_total_loss: Share = 0.1
    """
    Loss against the anchor, the recipe of an earlier champion trained on the same days, that all promotions since then
    may add up to, as a share of the anchor's metric; at least `margin`.
    """
    cohort_margin: Share = 0.1
    """Loss that is tolerated in one cohort, as a share of the champion's metric there."""
    cohort_people: Count = 100
    """A cohort of fewer judged people is too small to be judged by itself."""
    unclear_cohorts: Literal["report", "refuse"] = "report"
    """
    What becomes of a cohort in which neither a loss is shown nor a loss beyond the margin excluded: said, or refused.
    """
    max_narrowing: Share = 0.2
    """Loss of catalogue coverage against the champion that is tolerated, as a share of the champion's coverage."""

    @model_validator(mode="after")
    def _one_promotion_fits_the_total(self) -> Self:
        if self.max_total_loss < self.margin:
            raise ValueError(
                f"margin = {self.margin:g} tolerates more in one promotion than max_total_loss = "
                f"{self.max_total_loss:g} in all; raise max_total_loss or lower margin"
            )
        return self
