"""
Experiments on the past: training up to a day that the champion has already learnt from.

Such a challenger shows what training would have produced then. It is trained, judged and registered like any other but
never put before a person: an older model replaces a newer one only by rollback, and a champion that has seen part of
the holdout scores too well on it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from refit.interfaces import ModelVersion
from refit.verdicts import Verdict


def experiment(champion: ModelVersion | None, cutoff: datetime) -> str | None:
    """Return why training up to *cutoff* is only an experiment, or None when the result may replace *champion*."""
    if champion is None or cutoff >= datetime.fromisoformat(champion.cutoff):
        return None
    return (
        f"an experiment on the past: training ends before {cutoff.date()}, that of the champion (version "
        f"{champion.version}) ended before {champion.cutoff[:10]}; the challenger is judged and registered, and nobody "
        "is asked to promote it, because an older model replaces a newer one only by rollback"
    )


def describe_experiment(verdict: Verdict, what: str | None) -> Verdict:
    """Return *verdict* with the sentence of an experiment, *what*, in front of its reasons; unchanged without one."""
    return replace(verdict, reasons=(what, *verdict.reasons)) if what else verdict


def refuse_experiment(verdict: Verdict, what: str | None) -> Verdict:
    """Return *verdict*, or a refusal with the same measures if *what* is the sentence of an experiment."""
    return replace(describe_experiment(verdict, what), decision="refuse") if what else verdict
