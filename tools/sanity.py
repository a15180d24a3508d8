# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the ansible-test sanity tests of one part of them.

``3.12`` and ``3.13`` are a controller's Python, with the ansible-core of this environment. ``targets`` holds the two
tests that ansible-test itself runs once for each Python of a managed host and of a controller, ``compile`` and
``import``: a second controller would run the very same again. Between them these three run every test on every Python
that it is for. ``2.19`` and ``2.20`` run every test of an older ansible-core that the collection still works with.
More arguments go to ansible-test, in place of the part's own choice of tests.

``ansible-test`` wants a collection under ``ansible_collections/<namespace>/<name>`` that is no symbolic link, so it
gets a copy of what git knows, under ``build/sanity/<part>``. It gets a home directory there too: in it lies a stand-in
for the ``get-pip.py`` that ansible-test would download, and none of it is left in the user's own.

Pylint takes most of the time. It is not asked again about a file that passed, as long as nothing changed of the file,
of what it imports of this checkout, and of the tools.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from import_closure import digests
from interpreters import EVERY_PYTHON, NOT_RUN, find_interpreters

CHECKOUT = Path(__file__).resolve().parents[1]
CONTROLLERS = ("3.12", "3.13")
TARGETS = "targets"
# Down to requires_ansible of meta/runtime.yml.
OLDER_CORES = ("2.19", "2.20")
FOR_EACH_PYTHON = ("compile", "import")
GET_PIP = '''\
"""Stands in for get-pip.py: pip comes from ensurepip, the rest from where pip is told to look."""
import subprocess
import sys

# In a process of its own: it makes the process that it runs in forget how pip is configured.
subprocess.check_call([sys.executable, "-m", "ensurepip"])
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *wanted]))
'''


@dataclass(frozen=True)
class Part:
    """A part of the sanity tests, by the name that it is run by, and where it has its files."""

    name: str

    @property
    def directory(self) -> Path:
        """Everything of this part."""
        return CHECKOUT / "build" / "sanity" / self.name

    @property
    def copy(self) -> Path:
        """The copy of this checkout."""
        return self.directory / "ansible_collections" / "policyproof" / "ecr"

    @property
    def home(self) -> Path:
        """The home directory of ansible-test."""
        return self.directory / "home"

    @property
    def passed(self) -> Path:
        """The digests of the files that pylint passed."""
        return self.directory / "pylint-passed.json"


def copy_checkout(copy: Path) -> list[str]:
    """Bring the copy up to date: what git tracks and what it does not ignore, and nothing that is gone. Return it."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    wanted = {name for name in names if name and (CHECKOUT / name).is_file()}
    if not (copy / ".git").is_dir():
        copy.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    for path in copy.rglob("*"):
        name = path.relative_to(copy).as_posix()
        if path.is_file() and name not in wanted and not name.startswith((".git/", "tests/output/")):
            path.unlink()
    for name in wanted:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target)
    return sorted(wanted)


def link_dependencies(part: Part) -> None:
    """Let the copy find amazon.aws where this environment has it."""
    link = part.directory / "ansible_collections" / "amazon"
    if not link.is_symlink():
        link.symlink_to(Path(sysconfig.get_path("purelib")) / "ansible_collections" / "amazon")


def make_home(home: Path) -> None:
    """Make the home directory that ansible-test sees; pip's configuration and cache are the user's."""
    # The pip that ansible-core 2.19 asks for, and later ones.
    for pip in ("24_2", "25_2"):
        path = home / ".ansible" / "test" / "cache" / f"get_pip_{pip}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GET_PIP, encoding="utf-8")
    for name in (".config", ".cache"):
        link = home / name
        if not link.is_symlink():
            link.symlink_to(Path.home() / name)


def link_programs(part: Part, interpreters: dict[str, str]) -> Path:
    """Make a directory of ``python3.x`` links to interpreters that run, and of shellcheck; return it."""
    directory = part.directory / "bin"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for number, path in interpreters.items():
        (directory / f"python{number}").symlink_to(path)
    # Without it ansible-test would leave that test out.
    (directory / "shellcheck").symlink_to(Path(sys.executable).with_name("shellcheck"))
    return directory


def controller(part: Part, interpreters: dict[str, str]) -> Path | None:
    """The ``ansible-test`` to run, installed where it has to be; None without the Python that it is to run on."""
    if part.name in (TARGETS, f"{sys.version_info.major}.{sys.version_info.minor}"):
        return Path(sys.executable).with_name("ansible-test")
    older = part.name in OLDER_CORES
    usable = [number for number in (CONTROLLERS if older else (part.name,)) if number in interpreters]
    if not usable:
        return None
    environment = part.directory / "venv"
    core = f"ansible-core=={part.name}.*" if older else f"ansible-core=={version('ansible-core')}"
    stamp = environment / core.replace("*", "x")
    if not stamp.exists():
        subprocess.run([interpreters[usable[0]], "-m", "venv", "--clear", environment], check=True)
        python = environment / "bin" / "python"
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", core]
        subprocess.run([*command, *([] if older else ["--constraint", CHECKOUT / "constraints.txt"])], check=True)
        stamp.touch()
    return environment / "bin" / "ansible-test"


def choices(part: Part, names: list[str], python: Path) -> list[tuple[list[str], dict[str, str]]]:
    """The calls of ansible-test: each its arguments, and the digests of what pylint has passed once the call has."""
    if part.name == TARGETS:
        return [([f"--test={test}" for test in FOR_EACH_PYTHON], {})]
    read_too = [(CHECKOUT / name).read_text(encoding="utf-8") for name in ("constraints.txt", "galaxy.yml")]
    salt = "\0".join([part.name, str(python), *read_too])
    now = digests(part.copy, [name for name in names if name.endswith(".py")], salt)
    passed = json.loads(part.passed.read_text(encoding="utf-8")) if part.passed.is_file() else {}
    changed = [name for name, digest in now.items() if passed.get(name) != digest]
    elsewhere = () if part.name in OLDER_CORES else FOR_EACH_PYTHON
    rest = [f"--skip-test={test}" for test in (*elsewhere, "pylint")]
    return [(rest, {}), *([(["--test=pylint", *changed], now)] if changed else [])]


def main() -> int:
    """Run the part; return how many calls of ansible-test found something, or NOT_RUN."""
    parts = (*CONTROLLERS, TARGETS, *OLDER_CORES)
    part = Part("".join(sys.argv[1:2]))
    if part.name not in parts:
        sys.exit(f"There is no part {part.name!r} of the sanity tests: name one of {', '.join(parts)}.")
    names = copy_checkout(part.copy)
    link_dependencies(part)
    make_home(part.home)
    interpreters = find_interpreters(EVERY_PYTHON)
    command = controller(part, interpreters)
    if command is None:
        print(f"no Python for part {part.name} is on this machine")
        return NOT_RUN
    # pyenv's shims answer to versions that are not there.
    path = [folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.endswith("/shims")]
    programs = link_programs(part, interpreters)
    path = [str(command.parent), str(programs), *path]
    environment = {**os.environ, "HOME": str(part.home), "PATH": os.pathsep.join(path)}
    failed = 0
    python = command.with_name("python").resolve()
    for arguments, passed in [(sys.argv[2:], {})] if sys.argv[2:] else choices(part, names, python):
        call = subprocess.run([command, "sanity", *arguments], cwd=part.copy, env=environment, check=False)
        failed += bool(call.returncode)
        if passed and not call.returncode:
            part.passed.write_text(json.dumps(passed), encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
