"""
Watches for decisions in MLflow: a trigger that waits in the triggerer and holds no worker slot.

It polls MLflow's REST API every few seconds for the tags of the model that serves, and fires once for each decision.
Airflow stores the fired decisions across restarts; if they were lost, firing again for a decision would change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

_FIRED = "told"


class DecisionTrigger(BaseEventTrigger):
    """Fires for each new decision about a challenger: `{"version", "answer": {"decision", "noticed_at"}}`."""

    def __init__(self, poll_seconds: float = 10.0) -> None:
        super().__init__()
        self.poll_seconds = poll_seconds
        self._silent = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how Airflow recreates this trigger; it contains no address and no secret."""
        return "dags.triggers.registry.DecisionTrigger", {"poll_seconds": self.poll_seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll forever; if the server does not answer, poll again."""
        from pipelines.addresses import Addresses
        from pipelines.settings import read_settings
        from refit.governance.approvals import decided_challenger

        settings = read_settings()
        model = Addresses(settings.shop, lake="", bucket="").champions
        password = settings.mlflow_password.get_secret_value() if settings.mlflow_password else ""
        fired: dict[str, str] = await self._fired()
        client = httpx.AsyncClient(
            base_url=settings.mlflow,
            auth=(settings.mlflow_user, password) if settings.mlflow_user else None,
            timeout=self.poll_seconds,
        )
        async with client:
            while True:
                tags = await self._tags(client, model)
                for tag, line in (tags or {}).items():
                    challenger = decided_challenger(tag)
                    if challenger is not None and fired.get(tag) != line:
                        noticed = datetime.now(UTC).isoformat(timespec="seconds")
                        yield TriggerEvent({"version": challenger, "answer": {"decision": line, "noticed_at": noticed}})
                        fired = {**fired, tag: line}
                        await self._keep(fired)
                if tags is not None and fired.keys() - tags.keys():
                    # A decision that is deleted and set again must fire again.
                    fired = {tag: line for tag, line in fired.items() if tag in tags}
                    await self._keep(fired)
                await asyncio.sleep(self.poll_seconds)

    async def _tags(self, client: httpx.AsyncClient, model: str) -> dict[str, str] | None:
        """Return the tags of *model*, or None if the server gives no answer."""
        try:
            answer = await client.get("/api/2.0/mlflow/registered-models/get", params={"name": model})
            if answer.status_code == httpx.codes.NOT_FOUND:
                return {}  # nothing was ever promoted, so the registered model does not exist yet
            answer.raise_for_status()
            tags = {tag["key"]: tag["value"] for tag in answer.json()["registered_model"].get("tags", [])}
        except (httpx.HTTPError, ValueError, KeyError) as error:
            if not self._silent:
                kind = type(error).__name__
                self.log.warning("MLflow cannot be asked for decisions (%s: %s); asking until it answers", kind, error)
            self._silent = True
            return None
        self._silent = False
        return tags

    async def _fired(self) -> dict[str, str]:
        kept = await self.asset_state_store.aget(_FIRED) if self.asset_state_store else None
        return dict(kept) if isinstance(kept, dict) else {}

    async def _keep(self, fired: dict[str, str]) -> None:
        if self.asset_state_store:
            await self.asset_state_store.aset(_FIRED, fired)
