"""How models are compared on the holdout, and when a challenger may be put before a person."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refit.config.parts import Count, Part, Share

Level = Annotated[float, Field(gt=0.5, lt=1)]
Baseline = Literal["recent_popularity", "items_cosine", "items_pearson", "people_cosine", "people_pearson"]


class Evaluation(Part):
    """How models are compared on the holdout."""

    k: Count = 20
    """Length of the lists that decide."""
    ks: tuple[Count, ...] = (5, 10, 20)
    """Lengths at which every metric is reported; `k` is always one of them."""
    max_people: Count = 20_000
    """At most so many people are judged, chosen by a hash of their id; bounds the time and the memory."""
    resamples: Annotated[int, Field(ge=100)] = 2_000
    """Bootstrap resamples of people behind each interval."""
    level: Level = 0.95
    """Level of the intervals."""
    seed: int = Field(examples=[20260101])
    """Seed of the bootstrap and of every sample."""
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


class Promotion(Part):
    """When a challenger may be put before a person."""

    metric: Literal["ndcg", "recall", "precision", "map", "mrr", "hit_rate"] = "ndcg"
    """The metric that decides."""
    margin: Share = 0.02
    """Loss against the champion that is tolerated, as a share of the champion's metric."""
    min_people: Count = 100
    """Fewer judged people than this are no evidence."""
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
