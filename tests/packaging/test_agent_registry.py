"""The entry for the ACP registry: its form, its icon, and that it names this version of this package.

The rules are those of agentclientprotocol/registry (FORMAT.md, CONTRIBUTING.md), as far as they concern an agent from PyPI.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from gptoss_acp import __version__
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
FOLDER = ROOT / "packaging" / "registry"

TEXT = {"type": "string", "minLength": 1}
PACKAGE = {
    "type": "object",
    "required": ["package"],
    "properties": {
        # No extras: the registry looks all that stands before the version up on PyPI.
        "package": {"type": "string", "pattern": r"^[a-z0-9-]+==\d+\.\d+\.\d+$"},
        "args": {"type": "array", "items": {"type": "string"}},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "additionalProperties": False,
}
ENTRY = {
    "type": "object",
    "required": ["id", "name", "version", "description", "distribution"],
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"},
        "name": TEXT,
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "description": TEXT,
        "repository": {"type": "string", "pattern": "^https://"},
        "website": {"type": "string", "pattern": "^https://"},
        "authors": {"type": "array", "items": TEXT},
        "license": TEXT,
        "icon": {"const": "./icon.svg"},
        "distribution": {
            "type": "object",
            "required": ["uvx"],
            "properties": {"uvx": PACKAGE},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
COLOURS = {"fill": {"currentColor", "none"}, "stroke": {"currentColor", "none"}}


@pytest.fixture(scope="module")
def entry() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "agent.json").read_text("utf-8")))


def test_the_entry_has_the_registrys_form(entry: dict[str, Any]) -> None:
    jsonschema.validate(entry, ENTRY)


def test_the_entry_names_this_version_of_this_package(entry: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert entry["version"] == __version__
    assert entry["distribution"]["uvx"]["package"] == f"{project['name']}=={__version__}"
    assert entry["license"] == project["license"]
    assert entry["repository"] == project["urls"]["Repository"]
    assert all(extra in entry["description"] for extra in ("cuda13", "cuda12", "cpu"))
    # uvx runs the program that has the package's name, and that without arguments is the agent.
    assert project["scripts"][project["name"]] == "gptoss_acp.cli.main:main"


def test_the_icon_is_16_by_16_and_takes_the_themes_colour() -> None:
    text = (FOLDER / "icon.svg").read_text("utf-8")
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("16", "16", "0 0 16 16")
    for element in root.iter():
        for attribute, allowed in COLOURS.items():
            assert element.get(attribute, "none") in allowed
    assert "currentColor" in text
    assert not re.search(r"style|class|#[0-9a-fA-F]{3}|rgb|href|script", text)
