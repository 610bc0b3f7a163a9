"""
How good the published lists are, judged from raw files alone: no code that trains, ranks or evaluates is used here.

`make run SHOP=online_retail` publishes lists as of 2011-11-01 into a state folder that is deleted afterwards;
`BENCH_STATE=folder` judges what a stack that runs there has published. Each person's list is held against what the raw
files say that the person bought in the 28 days that follow. Recall is divided by min(k, relevant), NDCG by the DCG of a
perfect list of that length (Järvelin and Kekäläinen, 2002). Items bought before are left out on both sides, and a
second row counts everything that is bought. Popularity of the 28 days before is judged beside, on the same people.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

import refit
from bench.harness.places import real_days
from pipelines.settings import REPOSITORY

_DAYS, _K, _SEED, _DRAWS = 28, 20, 1, 2_000
Lists = Mapping[str, Sequence[str]]


def measure() -> None:
    """Print one line for each kind of lists and each way of counting."""
    kept = os.environ.get("BENCH_STATE")
    if kept:
        _judge(Path(kept))
        return
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as state:
        try:
            _infra(Path(state), "infra.demo.run")
            _judge(Path(state))
        finally:
            _infra(Path(state), "infra.stack.control", "down")


def read_orders(folder: Path, since: date, until: date) -> pd.DataFrame:
    """Return `day`, `person` and `item` of each purchase of a known customer in [since, until) of the shop's days."""
    days = []
    for path in sorted(folder.glob("*.csv.gz")):
        day = date.fromisoformat(path.name.removesuffix(".csv.gz"))
        if since <= day < until:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                days.append(pd.read_csv(lines, dtype=str).assign(day=day))
    raw = pd.concat(days)
    bought = (
        raw["CustomerID"].notna()
        & ~raw["InvoiceNo"].str.startswith("C")
        & (pd.to_numeric(raw["Quantity"], errors="coerce") > 0)
        & (pd.to_numeric(raw["UnitPrice"], errors="coerce") > 0)
        & raw["StockCode"].str.match(r"\d{5}")
    )
    kept = raw[bought]
    person = kept["CustomerID"].str.replace(r"\.0$", "", regex=True)
    return pd.DataFrame({"day": kept["day"], "person": person, "item": kept["StockCode"].str.strip()})


def scores(lists: Lists, wanted: Mapping[str, Collection[str]], k: int) -> np.ndarray:
    """Return recall / min(k, relevant) and NDCG at *k* of each person of *wanted*, float64 of shape (people, 2)."""
    gains = 1 / np.log2(np.arange(2, k + 2))
    rows = []
    for person, relevant in wanted.items():
        hits = np.array([item in relevant for item in lists.get(person, ())[:k]], dtype=float)
        most = min(k, len(relevant))
        rows.append((hits.sum() / most, float(hits @ gains[: len(hits)]) / gains[:most].sum()))
    return np.array(rows).reshape(-1, 2)


def wanted_of(bought: pd.DataFrame, before: pd.DataFrame, *, again: bool) -> dict[str, set[str]]:
    """
    Return person -> known items *bought* by people who were known *before*; *again* counts what they had had already.

    People without such an item are left out: no list could have met them.
    """
    had = before.groupby("person")["item"].agg(set).to_dict()
    known = set(before["item"])
    found = {
        person: {item for item in items if item in known and (again or item not in had[person])}
        for person, items in bought.groupby("person")["item"]
        if person in had
    }
    return {person: items for person, items in found.items() if items}


def _judge(state: Path) -> None:
    folder = real_days()
    environment = _environment(state)
    os.environ.update({name: value for name, value in environment.items() if name.startswith("AWS_")})
    address = f"s3://{environment['REFIT_BUCKET']}/{environment['REFIT_SHOP']}"
    table = refit.read_live(address, endpoint=environment["REFIT_S3_ENDPOINT"]).to_pylist()
    as_of = date.fromisoformat(json.loads(_object(environment, "live.json"))["run_date"])
    before = read_orders(folder, date.min, as_of)
    after = read_orders(folder, as_of, as_of + timedelta(days=_DAYS))
    pseudonym = _pseudonyms(environment["REFIT_PSEUDONYM_KEY"], table[0]["user_id"].partition("-")[0])
    names = {pseudonym(person): person for person in before["person"].unique()}
    published = {
        names[row["user_id"]]: [entry["item_id"] for entry in row["recommendations"]]
        for row in table
        if row["user_id"] in names
    }
    lately = before[before["day"] >= as_of - timedelta(days=_DAYS)]
    popular = lately.groupby("item")["person"].nunique().sort_values(ascending=False, kind="stable").index
    had = before.groupby("person")["item"].agg(set).to_dict()
    print(f"lists as of {as_of} for {len(published):,} people, judged by the {_DAYS} days from there, k = {_K}")
    for again in (False, True):
        wanted = wanted_of(after, before, again=again)
        ranked = {person: [item for item in popular if again or item not in had[person]][:_K] for person in wanted}
        for name, lists in (("published", published), (f"popular in {_DAYS} days", ranked)):
            found = scores(lists, wanted, _K)
            recall, ndcg = (f"{mean:.4f} [{low:.4f}, {high:.4f}]" for mean, low, high in _intervals(found))
            what = "all items" if again else "items not bought before"
            print(f"{what}, {len(wanted):,} people, {name}: recall {recall}, NDCG {ndcg}", flush=True)


def _intervals(found: np.ndarray) -> list[tuple[float, float, float]]:
    """Return the mean of each column and its interval of 95 % by a seeded bootstrap over people."""
    random = np.random.default_rng(_SEED)
    draws = np.array([found[random.integers(len(found), size=len(found))].mean(axis=0) for _ in range(_DRAWS)])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return list(zip(found.mean(axis=0), low, high, strict=True))


def _pseudonyms(secret: str, version: str) -> Callable[[str], str]:
    """Return what gives the pseudonym of a person, as docs/security.md describes it."""
    return lambda person: f"{version}-{hmac.new(secret.encode(), person.encode(), hashlib.sha256).hexdigest()[:32]}"


def _infra(state: Path, *words: str) -> str:
    given = {"REFIT_SHOP": "online_retail", "REFIT_DATA": str(real_days()), "REFIT_STATE": str(state), "APPROVE": "yes"}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **given}, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def _environment(state: Path) -> dict[str, str]:
    exports = re.findall(r"^export (\w+)=(.*)$", _infra(state, "infra.stack.control", "env"), re.M)
    return {name: shlex.split(value)[0] if value else "" for name, value in exports}


def _object(environment: Mapping[str, str], key: str) -> bytes:
    import boto3  # noqa: PLC0415  after the credentials are there

    client = boto3.session.Session().client("s3", endpoint_url=environment["REFIT_S3_ENDPOINT"])
    found = client.get_object(Bucket=environment["REFIT_BUCKET"], Key=f"{environment['REFIT_SHOP']}/{key}")
    return bytes(found["Body"].read())
