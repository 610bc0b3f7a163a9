"""
ALS against popularity on `online_retail`: trained on everything before 2011-11-01, judged by the 28 days after it.

People and items known before that day, items the person had not bought before, recall divided by min(k, relevant).
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.places import real_days, session
from pipelines import build_training_set, land_interactions
from pipelines.addresses import LAKE_CATALOG, Addresses
from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.adapters.folder import FolderObjectStore
from refit.als import train_als
from refit.config import load_shop
from refit.evaluation import judge_people
from refit.histories import histories
from refit.lake import Lake
from refit.metrics import METRICS
from refit.pseudonyms import PseudonymKey
from refit.sources import Warehouse

_AS_OF = datetime(2011, 11, 29, tzinfo=UTC)


def measure() -> None:
    """Print the table."""
    data = real_days()
    shop = load_shop(REPOSITORY / "shops", "online_retail")
    spark = session("bench quality")
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        places = Addresses("online_retail", folder, "")
        lake = Lake(places.lake_root, LAKE_CATALOG, FolderObjectStore(Path(places.lake_root)))
        first = datetime.combine(shop.calendar.first_day, _AS_OF.time(), tzinfo=UTC)
        land_interactions.run(
            first,
            _AS_OF,
            shop=shop,
            warehouse=Warehouse(spark, shop, str(data)),
            key=PseudonymKey(b"a key for a bench only", "k1"),
            suites=REPOSITORY / "expectations",
            spark=spark,
            lake=lake,
            validator=GreatExpectations(),
        )
        built = build_training_set.run(_AS_OF, shop=shop, spark=spark, lake=lake, addresses=places)
        place = lake.path(places.training_set(built.training_set))
        pairs = spark.read.parquet(f"{place}/pairs")
        model = train_als(pairs, shop.als, {}, checkpoints=f"{folder}/checkpoints")
        judged = judge_people(
            histories(pairs), spark.read.parquet(f"{place}/holdout"), {"challenger": model}, shop.evaluation
        )
        means = judged.means()
        print(f"{asdict(built)}")
        print(f"{judged.people:,} people with something new, k = {shop.evaluation.k}, {shop.als!r}")
        print(f"{'model':<12}" + "".join(f"{name:>12}" for name in METRICS))
        for name, row in means.items():
            print(f"{name:<12}" + "".join(f"{row[metric]:>12.4f}" for metric in METRICS))
        ratio = [means["challenger"][metric] / means["popularity"][metric] for metric in METRICS]
        print(f"{'ratio':<12}" + "".join(f"{value:>11.2f}x" for value in ratio))
    spark.stop()
