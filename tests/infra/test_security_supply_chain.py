"""The audit: what it finds when something is wrong, and that it never takes silence for good news."""

from __future__ import annotations

import base64
import hashlib
import json
import sysconfig
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra.errors import StackError
from infra.supply_chain.advisories import KNOWN_WEAK, Answer, NoAdvisoriesError, known_weaknesses
from infra.supply_chain.bill import installed_licences, make_bill
from infra.supply_chain.installed import check_installed, unlocked
from infra.supply_chain.locks import Locked, read_lock
from pipelines.settings import REPOSITORY

LOCKS = REPOSITORY / "infra" / "requirements"
SITE = Path(sysconfig.get_path("purelib"))
HASH = "a" * 64


# --- the lock file -----------------------------------------------------------------------------------


def test_every_locked_package_has_hashes_and_a_reason() -> None:
    locked = read_lock(LOCKS / "lock.txt")
    assert len(locked) > 200
    assert [package.name for package in locked if not (package.needed_by or package.asked_for)] == []
    asked_for = {package.name for package in locked if package.asked_for}
    assert {"apache-airflow", "pyspark", "mlflow", "pip-audit"} <= asked_for
    assert "pyspark-client" not in {package.name for package in locked}, "it writes into the folder of pyspark"


def test_a_lock_is_read_with_markers_extras_and_reasons(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:{HASH} \\\n    --hash=sha256:{HASH[1:]}b\n"
        f"    # via\n    #   -r refit.in\n    #   pandas\nmoto[s3,server]==5.2.5 \\\n    --hash=sha256:{HASH}\n"
        "    # via -r refit.in\n",
        encoding="utf-8",
    )
    assert read_lock(lock) == [
        Locked("numpy", "2.4.6", (HASH, HASH[1:] + "b"), ("pandas",), asked_for=True),
        Locked("moto", "5.2.5", (HASH,), (), asked_for=True),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("numpy==2.4.6", "has no hash for numpy; make lock writes them"),
        (f"numpy>=2 --hash=sha256:{HASH}", "not pinned to one version: 'numpy>=2"),
        (f"git+https://example.com/numpy --hash=sha256:{HASH}", "not pinned to one version"),
    ],
)
def test_a_lock_that_leaves_something_open_is_refused(line: str, said: str, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(StackError, match=said):
        read_lock(lock)


# --- installed files ---------------------------------------------------------------------------------


def _install(site: Path, name: str, files: dict[str, bytes]) -> None:
    """Put a package into *site* as an installer does."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"{info.name}/RECORD,,"]
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}")
    (info / "RECORD").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_files_as_they_were_installed_are_good(tmp_path: Path) -> None:
    _install(tmp_path, "tea", {"tea/__init__.py": b"", "tea/leaf.py": b"green = True\n"})
    checked = check_installed(tmp_path)
    assert (checked.packages, checked.files, checked.wrong) == (1, 2, ())


def test_a_changed_a_missing_and_an_overwritten_file_are_each_named(tmp_path: Path) -> None:
    """The last case is two packages that own one path: whoever came last has won."""
    _install(tmp_path, "coffee", {"coffee/bean.py": b"roasted = True\n", "coffee/cup.py": b"", "shared/a.py": b"1"})
    _install(tmp_path, "tea", {"shared/a.py": b"2"})
    (tmp_path / "coffee" / "bean.py").write_bytes(b"roasted = 'badly'\n")
    (tmp_path / "coffee" / "cup.py").unlink()
    assert check_installed(tmp_path).wrong == (
        "coffee 1.0: coffee/bean.py is not the file of this package",
        "coffee 1.0: coffee/cup.py cannot be read (No such file or directory)",
        "coffee 1.0: shared/a.py is not the file of this package",
    )


def test_a_package_without_a_record_is_not_taken_for_a_good_one(tmp_path: Path) -> None:
    _install(tmp_path, "tea", {"tea/leaf.py": b""})
    (tmp_path / "tea-1.0.dist-info" / "RECORD").unlink()
    assert check_installed(tmp_path).wrong == ("tea 1.0: has no record of its files",)


def test_a_package_that_no_lock_names_is_named(tmp_path: Path) -> None:
    for name in ("tea", "coffee_beans", "milk"):
        _install(tmp_path, name, {})
    locked = [Locked("Coffee.Beans", "1.0", (HASH,)), Locked("milk", "0.9", (HASH,)), Locked("milk", "2.0", (HASH,))]
    assert sorted(unlocked(tmp_path, locked)) == [
        "milk 1.0: the lock files name 0.9 or 2.0",
        "tea 1.0: the lock files name no such package",
    ]


def test_the_files_of_pyspark_are_its_own(tmp_path: Path) -> None:
    """Another package of the same folder once overwrote a part of them without a word."""
    (tmp_path / "site").mkdir()
    for entry in SITE.glob("pyspark*"):
        (tmp_path / "site" / entry.name).symlink_to(entry)
    checked = check_installed(tmp_path / "site")
    assert checked.packages == 1
    assert checked.files > 500
    assert [sentence for sentence in checked.wrong if "../" not in sentence] == []


# --- the bill of materials ---------------------------------------------------------------------------


def test_the_bill_names_every_locked_package_with_hashes_and_nearly_all_licences() -> None:
    locked = read_lock(LOCKS / "lock.txt")
    bill = make_bill(locked, installed_licences(SITE), version="0.1.0", at=datetime(2026, 3, 1, tzinfo=UTC))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.text) is None

    written = json.loads(bill.text)
    assert len(written["components"]) == bill.components == len(locked)
    for component in written["components"]:
        (distribution,) = component["externalReferences"]
        assert {entry["alg"] for entry in distribution["hashes"]} == {"SHA-256"}
    assert bill.licensed / bill.components > 0.95
    by_ref = {entry["ref"]: entry.get("dependsOn", []) for entry in written["dependencies"]}
    spark = next(component["bom-ref"] for component in written["components"] if component["name"] == "pyspark")
    assert spark in by_ref["refit"]
    assert any("py4j" in ref for ref in by_ref[spark])


def test_the_same_packages_give_the_same_bill() -> None:
    locked = [Locked("tea", "1.0", (HASH,), asked_for=True), Locked("milk", "2.0", (HASH,), ("tea",))]
    at = datetime(2026, 3, 1, tzinfo=UTC)
    first, second = (make_bill(locked, {"tea": "MIT"}, version="1", at=at) for _ in range(2))
    assert first == second
    assert first.licensed == 1
    assert json.loads(make_bill(locked[:1], {}, version="1", at=at).text)["serialNumber"] not in first.text


# --- advisories --------------------------------------------------------------------------------------


def _service(known: dict[str, list[str]], skipped: Sequence[str] = ()) -> Callable[[Sequence[str]], Answer]:
    """Return pip-audit as it answers with a service that knows *known* and nothing of *skipped*."""

    def ask(words: Sequence[str]) -> Answer:
        packages: list[dict[str, Any]] = []
        for line in Path(words[-1]).read_text(encoding="utf-8").splitlines():
            name, _, version = line.partition(" ")[0].partition("==")
            vulns = [{"id": one, "fix_versions": ["9.9"]} for one in known.get(name, [])]
            packages.append({"name": name, "version": version, "vulns": vulns})
        packages += [{"name": name, "skip_reason": "not found"} for name in skipped]
        code = 1 if any(package.get("vulns") for package in packages) else 0
        return Answer(code, json.dumps({"dependencies": packages, "fixes": []}), "")

    return ask


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock.txt"
    path.write_text("tea==1.0 --hash=...\nmilk==2.0 --hash=...\n", encoding="utf-8")
    return path


WEAK = KNOWN_WEAK.partition("==")[0]


def test_what_is_known_is_said_with_the_version_that_mends_it(lock: Path) -> None:
    found, asked = known_weaknesses(lock, ask=_service({WEAK: ["CVE-2019-10906"], "milk": ["CVE-2026-0001"]}))
    assert asked == 2
    assert [str(weakness) for weakness in found] == ["milk 2.0: CVE-2026-0001, mended in 9.9"]


def test_nothing_known_is_good_news_only_from_a_source_that_knows_something(lock: Path) -> None:
    assert known_weaknesses(lock, ask=_service({WEAK: ["CVE-2019-10906"]})) == ([], 2)
    with pytest.raises(NoAdvisoriesError, match=f"knows nothing against {KNOWN_WEAK}.*were not audited"):
        known_weaknesses(lock, ask=_service({}))


def test_a_skipped_package_makes_the_audit_incomplete(lock: Path) -> None:
    with pytest.raises(NoAdvisoriesError, match=r"of 1 packages, first rum \(not found\); the audit is not compl"):
        known_weaknesses(lock, ask=_service({WEAK: ["CVE-2019-10906"]}, skipped=["rum"]))


def test_a_source_that_does_not_answer_is_one_sentence(lock: Path) -> None:
    trace = "Traceback ...\nWARNING:pip_audit:x\nrequests.exceptions.ConnectionError: no such host\n"
    with pytest.raises(
        NoAdvisoriesError, match=r"cannot be asked \(requests\..*no such host\); .* not audited"
    ) as said:
        known_weaknesses(lock, ask=lambda words: Answer(1, "", trace))
    assert "\n" not in str(said.value)
