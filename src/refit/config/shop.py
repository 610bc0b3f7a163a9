"""The configuration of one shop, read from one reviewed `shop.toml`."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from refit.config.approval import Approvals
from refit.config.cleaning import Cleaning
from refit.config.data import Calendar, Events, Validation
from refit.config.drift import Drift
from refit.config.evaluation import Evaluation, Promotion, RefitGuards
from refit.config.kinds import PARTS_OF, Blend, ClosedForm, Kind, Models, ModelSettings, Neighbours, RepeatWeight
from refit.config.lists import Lists
from refit.config.model import Als, Confidence, Training
from refit.config.parts import Section
from refit.config.retention import Retention
from refit.config.sources import Source
from refit.config.tuning import Tuning
from refit.errors import ConfigurationError
from refit.simulation import SimulatedShop
from refit.texts import read_text
from refit.validation_errors import sentence


class FirstRun(Section):
    """How `make run` starts a shop that has a history."""

    as_of: Annotated[date, Field(examples=[date(2026, 6, 1)])]
    """History before this day is landed in one interval, and the first model is trained as of it."""


class Shop(Section):
    """The contents of `shop.toml`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Annotated[str, Field(examples=["A corner shop"])]
    """One line for people."""
    calendar: Calendar
    first_run: FirstRun
    sources: dict[str, Source]
    events: Events
    confidence: Confidence = Confidence()
    training: Training = Training()
    models: Models = Models()
    als: Als
    neighbours: Neighbours = Neighbours()
    closed_form: ClosedForm = ClosedForm()
    habit: RepeatWeight = RepeatWeight()
    blend: Blend = Blend()
    tuning: Tuning = Tuning()
    evaluation: Evaluation
    promotion: Promotion = Promotion()
    refit: bool = True
    """
    Whether a proposed challenger is trained again, with the same settings, on every day before `as_of`; what is
    approved and serves is then that model. False: the model that was judged is approved and serves.
    """
    refit_guards: RefitGuards = RefitGuards()
    approval: Approvals = Approvals()
    drift: Drift = Drift()
    lists: Lists = Lists()
    retention: Retention = Retention()
    validation: Validation = Validation()
    cleaning: Cleaning = Cleaning()
    simulation: SimulatedShop | None = None
    """Present only for a shop whose warehouse is generated."""
    folder: Path
    """Folder that contains `sources/*.sql`."""

    @model_validator(mode="after")
    def _simulation_fits_calendar(self) -> Shop:
        made = self.simulation
        if made and (made.first_day, made.last_day) != (self.calendar.first_day, self.calendar.last_day):
            raise ValueError(
                f"the simulation spans {made.first_day} to {made.last_day}, "
                f"the calendar {self.calendar.first_day} to {self.calendar.last_day}"
            )
        return self

    @model_validator(mode="after")
    def _cleaning_has_what_it_needs(self) -> Shop:
        if self.cleaning.keyed_repeats and not self.events.key:
            raise ValueError("cleaning.keyed_repeats needs events.key, the columns that name one event")
        if self.cleaning.cancellations and not self.events.cancellation:
            raise ValueError("cleaning.cancellations needs events.cancellation, the event type that takes back")
        return self

    @model_validator(mode="after")
    def _whoever_may_train_may_be_judged(self) -> Shop:
        asked, trained = self.promotion.min_people or 1, self.training.min_people
        if asked > trained:
            raise ValueError(
                f"promotion.min_people = {asked:,} asks for more people than training.min_people = {trained:,}: a "
                "holdout between the two would be trained for every week and never be enough to promote; raise "
                "training.min_people or lower promotion.min_people"
            )
        if asked > self.evaluation.max_people:
            raise ValueError(
                f"promotion.min_people = {asked:,} asks for more people than evaluation.max_people = "
                f"{self.evaluation.max_people:,} lets be judged; raise evaluation.max_people or lower the other"
            )
        return self

    @property
    def serving_events(self) -> Events:
        """The event settings for lists: if rebuying is allowed, no event type excludes an item as bought."""
        return self.events.model_copy(update={"bought": ()}) if self.lists.rebuy else self.events

    @model_validator(mode="after")
    def _every_candidate_can_be_trained(self) -> Shop:
        try:
            candidates = [self.model_settings(kind) for kind in self.models.candidates]
            for name, values in self.tuning.space.items():
                for end in values.ends:
                    candidates[0].with_values({name: end})
        except ConfigurationError as error:
            raise ValueError(f"tuning.space: {error}") from error
        read = {part for kind in self.models.candidates for part in PARTS_OF[kind]}
        idle = sorted(name for name in self.tuning.space if name.split(".")[0] not in read)
        if idle:
            raise ValueError(
                f"tuning.space.{idle[0]} changes no candidate, those are {', '.join(self.models.candidates)}; "
                "remove it or add a kind to models.candidates"
            )
        return self

    def model_settings(self, kind: Kind) -> ModelSettings:
        """Return the settings of a model of *kind* without tuning."""
        return ModelSettings(
            kind=kind,
            als=self.als,
            neighbours=self.neighbours,
            closed_form=self.closed_form,
            habit=self.habit,
            blend=self.blend,
            confidence=self.confidence,
            weights=self.events.weights,
        )

    def mapping(self, table: str) -> str | None:
        """Return the SQL for contract *table*, or None if the shop does not have it."""
        path = self.folder / "sources" / f"{table}.sql"
        return read_text(path) if path.is_file() else None


def load_shop(shops: Path, name: str) -> Shop:
    """
    Return the shop *name* from its folder below *shops*.

    Raises:
        ConfigurationError: no such shop, no valid TOML, or a key or value that does not belong there.
    """
    folder = shops / name
    path = folder / "shop.toml"
    if not path.is_file():
        known = sorted(entry.parent.name for entry in shops.glob("*/shop.toml"))
        raise ConfigurationError(
            f"there is no shop {name!r} in {shops}; known shops are {', '.join(known) or 'none'}; set REFIT_SHOP"
        )
    written = read_text(path)
    try:
        shop = Shop.model_validate({"name": name, **tomllib.loads(written), "folder": folder})
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} cannot be used: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path} cannot be used: {sentence(error, Shop)}") from error
    for table in ("interactions", "items"):
        if shop.mapping(table) is None:
            raise ConfigurationError(f"shop {name!r} has no {folder}/sources/{table}.sql; every shop maps {table}")
    return shop
