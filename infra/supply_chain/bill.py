"""The bill of materials: every locked package with its hashes and its licence, in the CycloneDX format."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import Distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from infra.supply_chain.installed import installed
from infra.supply_chain.locks import Locked, plain

_LONGEST_NAME = 80
"""Some packages put the whole text of their licence where its name belongs."""


@dataclass(frozen=True)
class Bill:
    """A bill of materials and what may be said about it."""

    text: str
    """CycloneDX 1.6, JSON."""
    components: int
    licensed: int
    """Components whose licence is known: those that are installed and tell it."""


def make_bill(locked: Iterable[Locked], licences: Mapping[str, str], *, version: str, at: datetime) -> Bill:
    """Return the bill of *locked*; the same packages have the same serial number, whoever makes it and when."""
    factory = LicenseFactory()
    locked = list(locked)
    components = [_component(package, licences.get(plain(package.name)), factory) for package in locked]
    names = ",".join(sorted(f"{component.name}=={component.version}" for component in components))
    root = Component(name="refit", type=ComponentType.APPLICATION, version=version, bom_ref="refit")
    bom = Bom(
        components=components,
        serial_number=uuid.UUID(bytes=hashlib.sha256(names.encode()).digest()[:16], version=4),
        metadata=BomMetaData(component=root, timestamp=at),
    )
    _draw_dependencies(bom, root, locked, components)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    return Bill(text + "\n", len(components), sum(bool(component.licenses) for component in components))


def installed_licences(folder: Path) -> dict[str, str]:
    """Return the licence of each package in *folder* that tells it, by its plain name."""
    found = {plain(one.metadata["Name"]): _licence(one) for one in installed(folder)}
    return {name: licence for name, licence in found.items() if licence}


def _draw_dependencies(bom: Bom, root: Component, locked: list[Locked], components: list[Component]) -> None:
    needs: dict[str, list[Component]] = {}
    for package, component in zip(locked, components, strict=True):
        for name in package.needed_by:
            needs.setdefault(plain(name), []).append(component)
    bom.register_dependency(root, [part for package, part in zip(locked, components, strict=True) if package.asked_for])
    for package, component in zip(locked, components, strict=True):
        bom.register_dependency(component, needs.get(plain(package.name), []))


def _licence(package: Distribution) -> str:
    """Return the expression, or else the classifiers, which come from a fixed list, or else the free text."""
    facts = {name: str(value).strip() for name, value in package.metadata.json.items()}
    if expression := facts.get("license_expression"):
        return expression
    classifiers = [
        line.rpartition(" :: ")[2] for line in package.metadata.get_all("Classifier", []) if line[:7] == "License"
    ]
    named = [line for line in classifiers if line != "OSI Approved"]
    text = facts.get("license", "")
    if named:
        return "; ".join(named)
    return text if "\n" not in text and len(text) <= _LONGEST_NAME else ""


def _component(package: Locked, licence: str | None, factory: LicenseFactory) -> Component:
    address = PackageURL("pypi", name=plain(package.name), version=package.version)
    licences: list[License] = [factory.make_from_string(licence)] if licence else []
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes]
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=address.to_string(),
        purl=address,
        licenses=licences,
        # One of several files is installed, so the hashes belong to the distribution and not to the component.
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(address.to_string()), hashes=hashes)
        ],
    )
