"""
A drift check of ten million events on eight features, beside Evidently on the same rows and columns.

Each side is a process of its own, start and imports included. Ours reads landed events and makes the features;
Evidently (pandas) is given the features ready-made, of the reference and of the current rows, with the methods set to
KS and PSI. The reference profile is made beforehand, as training does. `BENCH_ROWS=100000` makes it smaller.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pyspark.sql import functions as F

from bench.gate import land
from bench.harness.places import session
from bench.harness.process_tree import run_measured
from pipelines.addresses import LAKE_CATALOG
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.columns import Columns
from refit.config import Drift, Shop, load_shop
from refit.digests import canonical_json
from refit.drift.collection import current_days, day_number, reference_profile
from refit.drift.features import DAY, between, event_features
from refit.drift.policy import STATISTICS, measure_windows
from refit.drift.profiles import Profile
from refit.lake.as_of import catalogue_as_of, days_before
from refit.lake.lake import Lake
from refit.simulation import SimulatedShop

_DAYS = 28
_FIRST = date(2026, 1, 5)
_CUTOFF = datetime(2026, 2, 2, tzinfo=UTC)
_AS_OF = _CUTOFF + timedelta(days=_DAYS)
_SIDES = {"reference": _CUTOFF - timedelta(days=_DAYS), "current": _CUTOFF}


def measure() -> None:
    """Print what each side used, the ratios, and how far our KS is from scipy's."""
    rows = int(os.environ.get("BENCH_ROWS", "10000000"))
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        _prepare(folder, rows)
        used = {}
        for side in ("ours", "evidently", "scipy"):
            command = [sys.executable, "-m", "bench.drift_check", side, folder]
            used[side] = run_measured(command, folder=REPOSITORY, environment=os.environ)
    print(f"{'':<12}{'CPU s':>8}{'peak GiB':>10}{'wall s':>8}")
    for side in ("ours", "evidently"):
        print(f"{side:<12}{used[side].seconds:>8.1f}{used[side].peak:>10.2f}{used[side].wall:>8.1f}")
    ours, theirs = used["ours"], used["evidently"]
    print(f"ours / Evidently: CPU {ours.seconds / theirs.seconds:.3f}, memory {ours.peak / theirs.peak:.3f}")
    found, exact = (json.loads(used[side].output.splitlines()[-1]) for side in ("ours", "scipy"))
    for name, value in exact.items():
        error = abs(found[name]["ks"] - value)
        print(f"KS of {name:<8}{found[name]['ks']:.6f}, scipy {value:.6f}, error {error:.6f}")
    print("PSI: " + ", ".join(f"{name} {values['psi']:.4f}" for name, values in found.items()))


def _policy(shop: Shop) -> Shop:
    drift = Drift(
        numbers=("value", "price", "hour"),
        categories=("weekday", "event_type", "category", "country", "top_item"),
        activity=(),
        newcomers=(),
        window_days=_DAYS,
    )
    return shop.model_copy(update={"drift": drift})


def _prepare(folder: str, rows: int) -> None:
    shop = _policy(load_shop(REPOSITORY / "shops", "simulated"))
    simulation = SimulatedShop(
        seed=1,
        first_day=_FIRST,
        days=2 * _DAYS,
        people=max(rows // 50, 100),
        items=20_000,
        events=2 * rows,
        drift_day=_CUTOFF.date() + timedelta(days=_DAYS // 2),
    )
    spark = session("bench drift_check")
    lake = land(spark, simulation, folder)
    days, users = days_before(lake, _CUTOFF), lake.snapshot("users", _CUTOFF)
    profile = reference_profile(spark, lake, shop, days, _CUTOFF, users=users)
    Path(folder, "profile.json").write_bytes(canonical_json(profile.to_json()))
    for name, since in _SIDES.items():
        days = days_before(lake, since + timedelta(days=_DAYS))
        events = between(lake.read(spark, "interactions", days), since, since + timedelta(days=_DAYS))
        features = event_features(events, catalogue_as_of(spark, lake, since), shop.drift)
        top = profile.ruler.names["top_item"]
        features.withColumns(
            {
                "weekday": F.date_format(F.date_from_unix_date(DAY), "E"),
                "top_item": F.when(F.col("top_item").isin(*top), F.col("top_item")).otherwise("other"),
            }
        ).select(*shop.drift.features).write.parquet(f"{folder}/{name}")
    spark.stop()


def _ours(folder: str) -> None:
    shop = _policy(load_shop(REPOSITORY / "shops", "simulated"))
    lake = Lake(folder, LAKE_CATALOG, FolderObjectStore(Path(folder)))
    reference = Profile.from_json(json.loads(Path(folder, "profile.json").read_bytes()))
    spark = session("bench drift_check ours")
    items = spark.createDataFrame(pa.table({Columns.ITEM: pa.array([], pa.string())}))
    daily = current_days(
        spark,
        lake,
        shop,
        reference,
        days=days_before(lake, _AS_OF),
        since=_CUTOFF.date(),
        as_of=_AS_OF,
        people=None,
        items=items,
    )
    window = measure_windows(reference, daily, shop.drift, cutoff=day_number(_CUTOFF.date()))[0]
    print(json.dumps({f.name: {name: getattr(f, name) for name in STATISTICS} for f in window.features}))


def _evidently(folder: str) -> None:
    import pyarrow.dataset as ds  # noqa: PLC0415

    from refit.adapters.evidently import EvidentlyReporter  # noqa: PLC0415  only this side pays for it

    shop = _policy(load_shop(REPOSITORY / "shops", "simulated"))
    before, after = (ds.dataset(f"{folder}/{name}").to_table() for name in _SIDES)
    EvidentlyReporter().report(before, after, numbers=shop.drift.numbers, categories=shop.drift.categories)


def _scipy(folder: str) -> None:
    import pyarrow.dataset as ds  # noqa: PLC0415
    from scipy.stats import ks_2samp  # noqa: PLC0415  only this side pays for it

    shop = _policy(load_shop(REPOSITORY / "shops", "simulated"))
    exact = {}
    for name in shop.drift.numbers:
        sides = [ds.dataset(f"{folder}/{side}").to_table([name])[name].to_numpy() for side in _SIDES]
        exact[name] = float(ks_2samp(*sides, method="asymp").statistic)
    print(json.dumps(exact))


if __name__ == "__main__":
    {"ours": _ours, "evidently": _evidently, "scipy": _scipy}[sys.argv[1]](sys.argv[2])
