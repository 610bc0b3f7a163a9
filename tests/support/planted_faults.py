"""Faults in the publication protocol, planted by replacing one place of its source; the product has no switches."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from refit.testing.simulated_runs import Protocols

_MODULES = (
    "refit.batches.pointer",
    "refit.publication.pointer_protocol",
    "refit.publication.publish_batch",
    "refit.publication.rollback",
    "refit.publication.garbage",
)
"""In the order in which they import each other."""


@dataclass(frozen=True)
class Fault:
    """One place of one module, and what a less careful programmer might have written."""

    module: str
    right: str
    wrong: str


def plant(fault: Fault) -> Protocols:
    """Return the protocol with *fault*; the modules that everybody else imports stay as they are."""
    planted: dict[str, ModuleType] = {}
    with patch.dict(sys.modules):
        for path in _MODULES:
            spec = importlib.util.find_spec(path)
            assert spec is not None
            assert spec.origin is not None
            name = path.rpartition(".")[2]
            source = Path(spec.origin).read_text(encoding="utf-8")
            if name == fault.module:
                assert source.count(fault.right) == 1, f"{fault.right!r} is not found exactly once in {name}.py"
                source = source.replace(fault.right, fault.wrong)
            module = ModuleType(path)
            sys.modules[module.__name__] = planted[name] = module
            exec(compile(source, f"{name}.py with a fault", "exec"), module.__dict__)
    return Protocols(
        look=planted["pointer_protocol"].look,
        publishing=planted["publish_batch"].publishing,
        looking_back=planted["rollback"].looking_back,
        pointing_back=planted["rollback"].pointing_back,
        collecting=planted["garbage"].collecting,
    )


FAULTS = {
    "no compare-and-swap": Fault(
        "pointer_protocol", "return Swap(key, content, seen.etag) if", 'return Swap(key, content, "*") if'
    ),
    "a refused swap is taken for somebody else's success": Fault(
        "publish_batch",
        """            return pointer_outcome("published", after)
""",
        """            return pointer_outcome("published", after)
        if answer.outcome is not UNKNOWN:
            return pointer_outcome("superseded", before)
""",
    ),
    "no answer is taken for success": Fault(
        "publish_batch",
        """        if answer.outcome is DONE:
            return pointer_outcome("published", after)""",
        """        if answer.outcome is DONE or answer.outcome is UNKNOWN:
            return pointer_outcome("published", after)""",
    ),
    "nobody looks whether the run is there already": Fault(
        "publish_batch", "if before.published_by(judged.logical_run):", "if False:"
    ),
    "the pointer moves before the manifest is there": Fault(
        "publish_batch",
        "manifest_sha256 = yield from create_manifest(judged)",
        "manifest_sha256 = sha256(canonical_json(judged.manifest))",
    ),
    "a manifest that is there is taken for one's own": Fault(
        "publish_batch", "        return sha256(found.content)", "        return sha256(content)"
    ),
    "live.json moves before the pointer of the date": Fault(
        "publish_batch",
        "on_date = yield from swing(dated, judged, target, withdrawn, seen=ABSENT)",
        "if not judged.backfill:\n"
        "        yield from swing(LIVE, judged, target, withdrawn, seen=live)\n"
        "    on_date = yield from swing(dated, judged, target, withdrawn, seen=ABSENT)",
    ),
    "no fence": Fault("publish_batch", "if judged.fence <= before.highest:", "if False:"),
    "the fence is compared with what is named now": Fault(
        "publish_batch", "if judged.fence <= before.highest:", "if judged.fence <= before.current:"
    ),
    "the fence knows the order but not the date": Fault(
        "publish_batch", "if judged.fence <= before.highest:", "if judged.fence[1:] <= before.highest[1:]:"
    ),
    "no horizon": Fault("publish_batch", "if judged.created < before.horizon:", "if False:"),
    "a withdrawn champion is looked up only once": Fault(
        "publish_batch",
        """            if why := withdrawn():
                return""",
        """            if why := None:
                return""",
    ),
    "a newer backfill of its date keeps a live run back": Fault(
        "publish_batch",
        'if on_date.outcome not in {"published", "superseded"}:',
        'if on_date.outcome != "published":',
    ),
    "lists of days that have not come go live": Fault(
        "publish_batch", "if not judged.backfill and judged.days_ahead > _DAYS_AHEAD:", "if False:"
    ),
    "a backfill moves what is live": Fault("publish_batch", "if judged.backfill:", "if False:"),
    "a collection does not raise the horizon of live.json": Fault(
        "garbage",
        "return replace(pointer, horizon=max(pointer.horizon, retention.horizon), history=history)",
        "return replace(pointer, history=history)",
    ),
    "a collection forgets the pointers of the dates": Fault(
        "garbage",
        "            horizon=max(pointer.horizon, retention.horizon),\n        )",
        "        )",
    ),
    "a collection does not tell history what it takes": Fault("garbage", 'Move(**{**move, "collected": True})', "move"),
    "a collection takes what is still being written": Fault(
        "garbage", "if created_of(prefix) < retention.horizon}", "if prefix}"
    ),
    "a collection forgets what the date names": Fault(
        "garbage", "for prefix in sorted(doomed - named):", "for prefix in sorted(doomed):"
    ),
    "a rollback forgets the highest fence": Fault(
        "rollback",
        "        current=(run_date, order, logical_run),",
        "        current=(run_date, order, logical_run), highest=(run_date, order, logical_run),",
    ),
    "a rollback that is tried again happens again": Fault(
        "rollback", "if before.rolled_back_by(wanted.logical_run):", "if False:"
    ),
    "a rollback goes to what is being collected": Fault(
        "rollback", 'kept = [move for move in fitting if not move.get("collected")]', "kept = fitting"
    ),
}
