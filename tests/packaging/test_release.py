"""What surrounds the program: workflows, issue forms, the change log, and that all of it names the same things."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gptoss_acp import __version__
from tests.support.places import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
FORMS = [file for file in sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml")) if file.name != "config.yml"]
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def parsed(file: Path) -> dict[Any, Any]:
    return dict(yaml.safe_load(file.read_text("utf-8")))


def project() -> dict[str, Any]:
    return dict(tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"])


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in parsed(file)["jobs"].values() for step in job["steps"]]


def versions_set_up(file: Path) -> list[str]:
    return [step["with"]["python-version"] for step in steps(file) if "setup-python" in step.get("uses", "")]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_only_read_ends_in_time_and_runs_what_there_is(file: Path) -> None:
    workflow = parsed(file)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 40 for job in workflow["jobs"].values())
    for step in steps(file):
        for script in re.findall(r"scripts/\w+", step.get("run", "")):
            assert (REPOSITORY / script).stat().st_mode & 0o111, script
    text = file.read_text("utf-8")
    assert "secrets." not in text
    assert "pull_request_target" not in text


def test_an_action_is_pinned_to_one_commit_and_says_which_version_that_is() -> None:
    pins: dict[str, set[str]] = {}
    for file in WORKFLOWS:
        for action, pin in re.findall(r"uses: ([\w./-]+)@(.+)", file.read_text("utf-8")):
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), (file.name, action)
            pins.setdefault(action, set()).add(pin)
    assert "actions/checkout" in pins
    assert all(len(used) == 1 for used in pins.values()), pins


def test_publishing_alone_may_prove_who_it_is_and_comes_after_the_build() -> None:
    jobs = parsed(REPOSITORY / ".github/workflows/release.yml")["jobs"]
    with_identity = [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})]
    assert with_identity == ["publish"]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["environment"] == "pypi"


def test_every_python_that_is_promised_is_tested() -> None:
    matrix = parsed(REPOSITORY / ".github/workflows/test.yml")["jobs"]["suite"]["strategy"]["matrix"]
    promised = re.findall(r":: (3\.\d+)", " ".join(project()["classifiers"]))
    assert matrix["python"] == promised
    assert project()["requires-python"] == f">={promised[0]}"
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos"}
    installed = [version.split() for file in WORKFLOWS for version in versions_set_up(file) if "\n" in version]
    assert installed == [promised, promised]


def test_actionlint_finds_nothing() -> None:
    run = subprocess.run([REPOSITORY / "scripts/lint_workflows"], capture_output=True, text=True, check=False)
    if "skipped" in run.stderr:
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_an_issue_form_asks_for_each_thing_once(file: Path) -> None:
    form = parsed(file)
    assert form.keys() == {"name", "description", "labels", "body"}
    identifiers = [field["id"] for field in form["body"]]
    assert len(set(identifiers)) == len(identifiers)
    for field in form["body"]:
        assert field["type"] in {"textarea", "input"}
        assert field["attributes"]["label"]


def test_all_name_one_address() -> None:
    address = project()["urls"]["Repository"]
    assert all(url.startswith(address) for url in project()["urls"].values())
    for name in ("CHANGELOG.md", ".github/ISSUE_TEMPLATE/config.yml", "packaging/registry/agent.json"):
        for named in re.findall(r"https://github\.com/[\w-]+/gptoss-acp", (REPOSITORY / name).read_text("utf-8")):
            assert named == address, name


def test_the_change_log_has_its_form() -> None:
    lines = (REPOSITORY / "CHANGELOG.md").read_text("utf-8").splitlines()
    sections = [line for line in lines if line.startswith("## ")]
    assert sections[0] == "## [Unreleased]"
    for section in sections[1:]:
        assert re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", section)
    assert {line.removeprefix("### ") for line in lines if line.startswith("### ")} <= KINDS


SECTION = f"## [{__version__}] - 2026-12-01\n\n"
NEWS = "### Added\n\n- All.\n\n[All](docs/index.md) of it.\n"


@pytest.mark.parametrize(
    ("section", "notes"),
    [
        ("", None),
        (f"{SECTION}[Unreleased]: https://example.org\n", None),
        (f"{SECTION}{NEWS}\n[Unreleased]: https://example.org\n", NEWS),
    ],
)
def test_a_release_needs_one_version_everywhere_and_a_section_that_says_something(
    section: str, notes: str | None, tmp_path: Path
) -> None:
    for name in ("scripts/check_release", "gptoss_acp/__init__.py", "packaging/registry/agent.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changes\n\n## [Unreleased]\n\n{section}")

    def check(tag: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / "scripts/check_release"), tag]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    run = check(f"v{__version__}")
    if notes:
        assert (run.returncode, run.stdout) == (0, notes)
    else:
        assert "has no section" in run.stderr
    other = check("v9.9.9")
    assert other.returncode == 1
    assert other.stderr.count("and the tag is v9.9.9") == 3
    assert check("main").returncode == 1
