"""Builds the sdist and the wheel, looks into them, and installs the wheel clean with each Python that is found here.

There it is run as a newcomer would, with the bundled model. For the systems and extras that can't be tried here, what
they need is resolved: there are wheels of everything, also for a contributor, at the versions of constraints.txt. Needs
no environment of its own, but pip and the package index.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DIST = REPOSITORY / "dist"

LINUX, LINUX_ARM, MACOS = "x86_64-manylinux_2_35", "aarch64-manylinux_2_35", "aarch64-apple-darwin"
Needs = tuple[tuple[str, list[str]], ...]
"""Systems, each with extras that are installed together there."""
FOR_USERS: Needs = ((MACOS, []), (LINUX, ["cpu"]), (LINUX_ARM, ["cpu"]), (LINUX, ["cuda12"]), (LINUX, ["cuda13"]))
REST = ["dev", "bench", "docs", "train", "crosscheck"]
FOR_CONTRIBUTORS: Needs = ((MACOS, REST), (LINUX, ["cpu", *REST]), (LINUX_ARM, ["cpu", *REST]))

MUST_HOLD = (
    "gptoss_acp/data/o200k_base.tiktoken.xz",
    "gptoss_acp/data/icon.svg",
    "gptoss_acp/data/tiny/config.json",
    "gptoss_acp/data/tiny/weights.npz",
    "gptoss_acp/briefing/texts/base.md",
)
LARGEST = 20 * 10**6
"""Bytes of the wheel, and of the sdist."""

MODEL = ("--model", "tiny")


def main() -> None:
    argparse.ArgumentParser(prog="scripts/check_wheel", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = _environment(sys.executable, folder / "tools")
        _pip(tools, "install", "build", "twine", "uv")
        wheel, sdist = _built(tools)
        _look_into_wheel(wheel)
        _look_into_sdist(sdist)
        versions = _promised_versions()
        for version in versions:
            for system, extras in FOR_USERS:
                _resolve(tools, system, extras, version)
            for system, extras in FOR_CONTRIBUTORS:
                _resolve(tools, system, extras, version, "--constraint", str(REPOSITORY / "constraints.txt"))
        for version in versions:
            python = _interpreter(version)
            if python is None:
                print(f"Python {version}: SKIPPED, there is none here")
            else:
                _try(wheel, python, version, folder / version)


def _promised_versions() -> list[str]:
    """Return the Pythons that pyproject.toml promises, such as 3.11."""
    classifiers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    return [text.rpartition(" ")[2] for text in classifiers if ":: 3." in text]


def _built(tools: Path) -> tuple[Path, Path]:
    shutil.rmtree(DIST, ignore_errors=True)
    _run(tools / "python", "-m", "build", "--outdir", str(DIST), str(REPOSITORY))
    _run(tools / "twine", "check", "--strict", *map(str, sorted(DIST.iterdir())))
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sdist


def _look_into_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    _judge(wheel, names, [name for name in names if not name.startswith("gptoss_acp") or "__pycache__" in name])


def _look_into_sdist(sdist: Path) -> None:
    """What git has, and nothing that lies about in a contributor's folder."""
    with tarfile.open(sdist) as opened:
        names = [name.partition("/")[2] for name in opened.getnames()]
    listed = _run(Path("git"), "-C", str(REPOSITORY), "ls-files", "-z").split("\0")
    _judge(sdist, names, sorted(set(names) - {*listed, "PKG-INFO"}))


def _judge(archive: Path, names: list[str], foreign: list[str]) -> None:
    if missing := [name for name in MUST_HOLD if name not in names]:
        sys.exit(f"{archive.name} lacks {', '.join(missing)}")
    if foreign:
        sys.exit(f"{archive.name} holds {', '.join(foreign[:5])}")
    if (size := archive.stat().st_size) > LARGEST:
        sys.exit(f"{archive.name} has {size:,} bytes")
    print(f"{archive.name}: {len(names)} files, {size / 1e6:.1f} MB")


def _resolve(tools: Path, system: str, extras: list[str], version: str, *more: str) -> None:
    """Look for wheels of all that is needed; a version such as 3.11 stands for its first release, 3.11.0."""
    chosen = [word for extra in extras for word in ("--extra", extra)]
    options = ["--python-platform", system, "--python-version", version, "--only-binary", ":all:", "--quiet", *more]
    command = [str(tools / "uv"), "pip", "compile", str(REPOSITORY / "pyproject.toml"), *chosen, *options]
    # On older systems MLX has no wheels, and the README asks for this one.
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    what = f"extras {', '.join(extras)}" if extras else "no extra"
    if run.returncode:
        sys.exit(f"{system}, Python {version}, {what}: {run.stderr}")
    packages = [line for line in run.stdout.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    backends = ", ".join(line for line in packages if line.startswith("mlx-") and not line.startswith("mlx-lm"))
    print(f"{system}, Python {version}, {what}: {len(packages)} packages, {backends}")


def _interpreter(version: str) -> Path | None:
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found = pyenv[-1] if pyenv else shutil.which(f"python{version}")
    return Path(found) if found else None


def _try(wheel: Path, python: Path, version: str, folder: Path) -> None:
    """Install the wheel, with what it needs here, and follow the README."""
    programs = _environment(str(python), folder)
    extra = "" if sys.platform == "darwin" else "[cpu]"
    _pip(programs, "install", f"{wheel}{extra}")
    work = folder / "work"
    work.mkdir()
    (work / "note.txt").write_text("hello there\n")
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": "", "XDG_STATE_HOME": "", "XDG_CACHE_HOME": ""}

    def run(*words: str) -> str:
        return _run(programs / "gptoss-acp", *words, cwd=work, environment=home)

    told = run("--version").strip()
    run("setup", *MODEL, "--yes")
    report = json.loads(run(*MODEL, "doctor", "--json"))
    answer = run("--temperature", "0", "run", "What is in note.txt?").strip()
    if not report["ok"] or "hello there" not in answer:
        sys.exit(f"Python {version}: {report}\n{answer}")
    print(f"Python {version}: {told}; setup, doctor and run work: {answer}")


def _environment(python: str, folder: Path) -> Path:
    """Return where the programs of a new environment are."""
    if python == sys.executable:
        venv.create(folder, with_pip=True)
    else:
        _run(Path(python), "-m", "venv", str(folder))
    return folder / "bin"


def _pip(programs: Path, *words: str) -> None:
    _run(programs / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", *words)


def _run(program: Path, *words: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    run = subprocess.run(
        [str(program), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    )
    if run.returncode:
        sys.exit(f"{program.name} {' '.join(words)} ended with {run.returncode}:\n{run.stdout}{run.stderr}")
    return run.stdout


if __name__ == "__main__":
    main()
