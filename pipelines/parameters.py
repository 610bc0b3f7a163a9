"""The parameters of the steps, described once; `python -m pipelines STEP --help` shows this."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipelines.instants import Instant


def _meaning(sentence: str, example: str) -> Any:
    """Return a field that describes a parameter by one *sentence* and an *example* for the command line."""
    return Field(description=sentence, examples=[example])


AsOf = Annotated[
    Instant | None,
    _meaning(
        "Instant at and after which nothing is read; left out, it is the end of the newest landed day.",
        "2026-01-05",
    ),
]
Since = Annotated[Instant, _meaning("First day of the interval, by the shop's clock.", "2026-01-05")]
Until = Annotated[
    Instant, _meaning("Day after the last one of the interval, which itself is not part of it.", "2026-01-06")
]
Before = Annotated[
    Instant | None,
    _meaning("Day before which the last days are read again; left out, nothing is read again.", "2026-01-05"),
]
AskedAt = Annotated[
    Instant | None,
    _meaning("Moment at which the lists are to be fresh; left out, it is the present.", "2026-01-05T06:00Z"),
]
CollectedAt = Annotated[
    Instant | None,
    _meaning(
        "Moment from which ages are counted, which must not lie in the future; left out, it is the present.",
        "2026-01-05T05:30Z",
    ),
]
OrderedAt = Annotated[
    Instant | None,
    _meaning(
        "When the run was asked for: of two runs for one date the one ordered later wins; left out, it is the present.",
        "2026-01-05T03:30Z",
    ),
]
RunDate = Annotated[
    str, _meaning("Date, as YYYY-MM-DD, whose lists are copied; left out, the live ones are.", "2026-01-05")
]

TrainingSet = Annotated[
    str, _meaning("Digest of a training set, as `build_training_set` prints it.", "3f9a0c1d2e4b5a69")
]
TunedSettings = Annotated[
    str,
    _meaning(
        "File of the settings that won, as `tune_model` prints it; left out, the first candidate of shop.toml is "
        "trained as it stands.",
        "training_sets/3f9a0c1d2e4b5a69/tuning-0d1e2f3a4b5c6d7e/settings-5b1c9d0e2f3a4b6d.json",
    ),
]
ShownSettings = Annotated[
    str,
    _meaning(
        "File of the settings that won, as `tune_model` prints it, whose trials the dossier shows; left out, there "
        "are none.",
        "training_sets/3f9a0c1d2e4b5a69/tuning-0d1e2f3a4b5c6d7e/settings-5b1c9d0e2f3a4b6d.json",
    ),
]
RunId = Annotated[
    str, _meaning("MLflow run of the training, as `train_model` prints it.", "8c1f0e5b7a924d3c9b6e2f1a0d4c8e7f")
]
ModelId = Annotated[
    str,
    _meaning(
        "MLflow model that the training logged, as `train_model` prints it.", "m-5d2b9e0c7f1a4b8e93c6a0d7e4f1b2c3"
    ),
]
ModelDigest = Annotated[
    str,
    _meaning(
        "SHA-256 over the files of the model, as `train_model` prints it.",
        "9b2e6d40c1f7a835e0d4927b6c8f1a3de5b09c7246f8d1a0b3e7c5926d4f8a1b",
    ),
]
ShownDigest = Annotated[
    str,
    _meaning(
        "Digest of the model that the person was shown; empty where the answer is a decision in MLflow, which names "
        "it.",
        "9b2e6d40c1f7a835e0d4927b6c8f1a3de5b09c7246f8d1a0b3e7c5926d4f8a1b",
    ),
]
Drift = Annotated[
    dict[str, Any] | None,
    _meaning(
        "Receipt of `check_drift`, which the dossier shows; left out, the dossier has no such part.",
        '{"decision": "retrain", "reasons": ["0.21 of the features have moved, 0.15 are allowed"]}',
    ),
]
Export = Annotated[
    bool, _meaning("Whether every judged list is kept beside the verdict, for a judge of your own.", "true")
]
Evaluation = Annotated[
    dict[str, Any],
    _meaning(
        "Receipt of `evaluate_model`, or as much of it as the example has.",
        '{"run_id": "8c1f0e5b7a924d3c9b6e2f1a0d4c8e7f", "as_of": "2026-01-05T00:00:00+00:00", "proposed": true, '
        '"reasons": ["better for all"], "judged": 4210, "k": 20, "champion": 6, '
        '"metrics": {"challenger": {"recall": 0.13, "capped_recall": 0.14, "ndcg": 0.12, "hit_rate": 0.41}}, '
        '"dossier": "dossier.html"}',
    ),
]

Refitted = Annotated[
    dict[str, Any] | None,
    _meaning(
        "Receipt of `refit_model`, or as much of it as the example has; left out, the judged model itself is offered.",
        '{"refitted": true, "twin": "9b2e6d40c1f7a835", "offered": "trained again on every day before 2026-01-05"}',
    ),
]

ChallengerVersion = Annotated[
    int, _meaning("Version of the challengers' model in MLflow, as `register_model` prints it.", "7")
]
AdoptedVersion = Annotated[
    int,
    _meaning("Version of the champions' model that shall serve: that of the alias, or that of the audit log.", "4"),
]
EarlierVersion = Annotated[
    int | None,
    _meaning("Version of the champions' model to go back to; left out, it is the champion before this one.", "3"),
]
ListsToo = Annotated[
    Literal["back", "stay"],
    _meaning("Whether the lists go back with the model, or stay because no batch by that champion is left.", "stay"),
]
Answer = Annotated[
    dict[str, Any],
    _meaning(
        "What the person answered: the answered question of Airflow, or a decision in MLflow with when it was noticed.",
        '{"decision": "approve 9b2e6d40c1f7a835 Ada: better for all", "noticed_at": "2026-01-05T09:12:00+00:00"}',
    ),
]
Reason = Annotated[
    str, _meaning("Why, in a sentence that is kept in the audit log for good.", "wrong prices on Monday")
]
Force = Annotated[bool, _meaning("Whether to retrain whatever the data say, which needs a reason.", "true")]
ForceReason = Annotated[
    str,
    _meaning("Why a retraining is forced, needed with `force` and refused without it.", "the catalogue was replaced"),
]
RequestedBy = Annotated[
    str, _meaning("Name of the person, or of the schedule, that asks for it; it is kept with the decision.", "ada")
]
LastRecords = Annotated[int, _meaning("How many of the newest records are shown; 0 shows all of them.", "5")]

UnlessLive = Annotated[
    bool,
    _meaning("Whether to end at once when the live lists are already made from all that is there.", "true"),
]
LogicalRun = Annotated[
    str,
    _meaning(
        "Name of the orchestrator's run, the same for each of its attempts; left out, each call is a run of its own.",
        "recommend/manual__2026-01-05T06:00:00+00:00/000",
    ),
]
Batch = Annotated[
    str,
    _meaning(
        "Prefix of a scored batch, as `score_users` prints it.",
        "batches/run_date=2026-01-05/batch=20260105T033000Z-0a1b2c3d4e5f",
    ),
]
Backfill = Annotated[bool, _meaning("Whether to publish for its date only and to leave `live.json` alone.", "true")]
Folder = Annotated[
    str, _meaning("Local folder below which the copy and the link `current` are made.", "copies/recommendations")
]
PersonId = Annotated[str, _meaning("Id of the person, as the shop knows it.", "17850")]

FirstCheck = Annotated[Instant, _meaning("Day of the first check, by the shop's clock.", "2026-01-05")]
ReplayEnd = Annotated[
    Instant | None,
    _meaning("Instant at which the replay ends; left out, it is the end of the newest landed day.", "2026-06-29"),
]
EveryDays = Annotated[int, _meaning("Days from one check to the next, 1 or more.", "7")]
JudgedDays = Annotated[int, _meaning("Days after each check by which its decision is judged, 1 or more.", "14")]
OtherPolicies = Annotated[
    bool, _meaning("Whether alternatives to the configured policy are replayed beside it.", "true")
]
Tuned = Annotated[
    bool,
    _meaning(
        "Whether settings are searched for each model, as retraining does, instead of taken from shop.toml.", "true"
    ),
]

ShopName = Annotated[
    str, _meaning("Name of the new shop: small letters, digits and underscores, a letter first.", "tea_shop")
]
Source = Annotated[
    str,
    _meaning(
        "Folder with the tables, or the address of a database with the names of its tables behind a #.",
        "jdbc:postgresql://db.example/shop#orders,products",
    ),
]
TimeZone = Annotated[str, _meaning("Time zone of the shop's clock, which cuts its days.", "Europe/Vienna")]
