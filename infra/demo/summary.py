"""What `make run` ends with: was it worth it, what do people get, where is it, how long did it take."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from rich import box
from rich.console import Console
from rich.table import Table

from infra.airflow.api import AirflowApi
from infra.demo.progress import Progress
from infra.stack.state import Stack
from pipelines.addresses import LAKE_CATALOG, Addresses
from refit.adapters.stores import open_store
from refit.columns import Columns
from refit.config import Shop
from refit.lake.lake import Lake
from refit.publication import read_live_batch, read_manifest

_PEOPLE = 3
_SHOWN = 5
_METRICS = ("recall", "capped_recall", "precision", "map", "ndcg", "hit_rate")


def show_summary(stack: Stack, shop: Shop, api: AirflowApi, progress: Progress) -> None:
    """Print the closing tables."""
    # Titles come from data: one in brackets is no instruction to the terminal.
    console = Console(width=130, highlight=False, soft_wrap=True, markup=False)
    places = Addresses(shop.name, stack.own_environment["REFIT_LAKE"], stack.own_environment["REFIT_BUCKET"])
    _show_metrics(console, api, shop)
    _show_people(console, stack, shop, places)
    store = open_store(places.lists, endpoint=stack.s3)
    manifest = read_manifest(store)
    console.print(f"\nAirflow  {stack.airflow}  (user admin or approver, passwords in {stack.root / 'secrets.json'})")
    console.print(f"MLflow   {stack.mlflow}  (user admin or approver, passwords in the same file)")
    console.print(
        f"Lists    {places.lists}/live.json on {stack.s3}: {manifest['counts']['people']:,} people, "
        f"run date {manifest['run_date']}, champion version {manifest['model']['version']}"
    )
    console.print(f'Settings for other commands: eval "$(make -s env SHOP={shop.name})"\n')
    _show_times(console, progress)


def _show_metrics(console: Console, api: AirflowApi, shop: Shop) -> None:
    for run in api.runs("retrain"):
        states = api.task_states("retrain", str(run["dag_run_id"]))
        if states.get("promote_model") == "success":
            break
    else:
        return
    evaluation = api.xcom("retrain", str(run["dag_run_id"]), "evaluate_model")
    table = Table(box=box.SIMPLE_HEAD, title=f"Holdout of {shop.title}: {evaluation['judged']:,} people")
    table.add_column("model")
    for name in _METRICS:
        table.add_column(f"{name}@{evaluation['k']}", justify="right")
    rows = evaluation["metrics"]
    for model, values in sorted(rows.items()):
        table.add_row(model, *[f"{values[name]:.4f}" for name in _METRICS])
    ratios = [rows["challenger"][name] / rows["popularity"][name] for name in _METRICS if rows["popularity"][name]]
    if len(ratios) == len(_METRICS):
        table.add_row("challenger / popularity", *[f"{ratio:.2f} x" for ratio in ratios])
    console.print()
    console.print(table)


def _show_people(console: Console, stack: Stack, shop: Shop, places: Addresses) -> None:
    """Show the busiest of the last days: people whose list can be judged by eye."""
    clock = shop.calendar.clock
    lake = Lake(places.lake_root, LAKE_CATALOG, open_store(places.lake_root), clock)
    first, until = clock.span(shop.calendar.first_day, shop.first_run.as_of)
    days = [lake.path(day.path) for day in lake.days("interactions", first, until)]
    catalogue = lake.snapshot("items", until)
    if catalogue is None:
        return
    items = ds.dataset(lake.path(catalogue.path)).to_table(columns=[Columns.ITEM, Columns.TITLE])
    titles = dict(zip(items[Columns.ITEM].to_pylist(), items[Columns.TITLE].to_pylist(), strict=True))
    wanted = pc.field(Columns.EVENT_TYPE).isin(list(shop.events.relevant))
    files = [str(file) for day in days for file in sorted(Path(day).glob("*.parquet"))]
    events = ds.dataset(files).to_table(columns=[Columns.USER, Columns.ITEM, Columns.EVENT_TIME], filter=wanted)
    lists = read_live_batch(open_store(places.lists, endpoint=stack.s3))
    table = Table(box=box.SIMPLE_HEAD, title="Three people", show_lines=True)
    table.add_column("person", no_wrap=True)
    table.add_column("last purchases", no_wrap=True, max_width=38)
    table.add_column("recommended <- because of", no_wrap=True)
    for user in _people(events):
        mine = events.filter(pc.field(Columns.USER) == user).sort_by([(Columns.EVENT_TIME, "descending")])
        last = list(dict.fromkeys(mine[Columns.ITEM].to_pylist()))[:_SHOWN]
        row = lists.filter(pc.field("user_id") == user)["recommendations"].to_pylist()
        table.add_row(
            user[:15],
            "\n".join(str(titles.get(item)) for item in last),
            "\n".join(_entry(entry, titles) for entry in (row[0] if row else [])[:_SHOWN]),
        )
    console.print(table)


def _people(events: pa.Table) -> list[str]:
    counts = events.group_by(Columns.USER).aggregate([(Columns.ITEM, "count_distinct")])
    ordered = counts.sort_by([(f"{Columns.ITEM}_count_distinct", "descending"), (Columns.USER, "ascending")])
    # Not the very busiest: they are often resellers.
    return [str(user) for user in ordered[Columns.USER].to_pylist()[len(ordered) // 20 :: len(ordered) // 20][:_PEOPLE]]


def _entry(entry: dict[str, object], titles: dict[str, str]) -> str:
    reasons = entry["reasons"]
    because = titles.get(str(reasons[0]["item_id"])) if isinstance(reasons, list) and reasons else entry["source"]
    return f"{titles.get(str(entry['item_id']))}  <- {because}"


def _show_times(console: Console, progress: Progress) -> None:
    table = Table(box=box.SIMPLE_HEAD, title="Seconds of each step")
    table.add_column("step")
    table.add_column("s", justify="right")
    for name, seconds in progress.seconds.items():
        table.add_row(name, f"{seconds:.1f}")
    table.add_row("all, with what Airflow needs between steps", f"{progress.total:.1f}")
    console.print(table)
