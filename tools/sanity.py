# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run every ansible-test sanity test, on each Python that ansible-core runs on here.

``ansible-test`` wants a collection under ``ansible_collections/<namespace>/<name>`` that is no symbolic link, so it
gets a copy of what git knows, under ``build/sanity``. It gets a home directory there too: in it lies a stand-in for the
``get-pip.py`` that ansible-test would download, and none of it is left in the user's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

from interpreters import EVERY_PYTHON, find_interpreters

CHECKOUT = Path(__file__).resolve().parents[1]
BUILD = CHECKOUT / "build" / "sanity"
COPY = BUILD / "ansible_collections" / "policyproof" / "ecr"
HOME = BUILD / "home"
CONTROLLERS = ("3.12", "3.13")
GET_PIP = '''\
"""Stands in for get-pip.py: pip comes from ensurepip, the rest from where pip is told to look."""
import subprocess
import sys

# In a process of its own: it makes the process that it runs in forget how pip is configured.
subprocess.check_call([sys.executable, "-m", "ensurepip"])
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *wanted]))
'''


def copy_checkout() -> None:
    """Bring the copy up to date: what git tracks and what it does not ignore, and nothing that is gone."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    wanted = {name for name in names if name and (CHECKOUT / name).is_file()}
    if not (COPY / ".git").is_dir():
        COPY.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "--quiet"], cwd=COPY, check=True)
    for path in COPY.rglob("*"):
        name = path.relative_to(COPY).as_posix()
        if path.is_file() and name not in wanted and not name.startswith((".git/", "tests/output/")):
            path.unlink()
    for name in wanted:
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target)


def link_dependencies() -> None:
    """Let the copy find amazon.aws where this environment has it."""
    link = BUILD / "ansible_collections" / "amazon"
    if not link.is_symlink():
        link.symlink_to(Path(sysconfig.get_path("purelib")) / "ansible_collections" / "amazon")


def make_home() -> None:
    """Make the home directory that ansible-test sees; pip's configuration and cache are the user's."""
    for script in ("get_pip_25_2.py",):
        path = HOME / ".ansible" / "test" / "cache" / script
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GET_PIP, encoding="utf-8")
    for name in (".config", ".cache"):
        link = HOME / name
        if not link.is_symlink():
            link.symlink_to(Path.home() / name)


def link_interpreters(interpreters: dict[str, str]) -> Path:
    """Make a directory of ``python3.x`` links to interpreters that run; return it."""
    directory = BUILD / "bin"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for number, path in interpreters.items():
        (directory / f"python{number}").symlink_to(path)
    return directory


def controller(number: str, interpreters: dict[str, str]) -> Path | None:
    """The ``ansible-test`` to run on Python ``number``, installed where it has to be; None without that Python."""
    if number == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable).with_name("ansible-test")
    if number not in interpreters:
        return None
    environment = BUILD / f"venv-{number}"
    core = f"ansible-core=={version('ansible-core')}"
    stamp = environment / core
    if not stamp.exists():
        subprocess.run([interpreters[number], "-m", "venv", "--clear", environment], check=True)
        python = environment / "bin" / "python"
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", core]
        subprocess.run([*command, "--constraint", CHECKOUT / "constraints.txt"], check=True)
        stamp.touch()
    return environment / "bin" / "ansible-test"


def main() -> int:
    """Run them all; return how many controllers found something."""
    copy_checkout()
    link_dependencies()
    make_home()
    interpreters = find_interpreters(EVERY_PYTHON)
    path = [str(link_interpreters(interpreters)), *os.environ["PATH"].split(os.pathsep)]
    # pyenv's shims answer to versions that are not there.
    path = [folder for folder in path if not folder.endswith("/shims")]
    failed = 0
    for number in CONTROLLERS:
        command = controller(number, interpreters)
        if command is None:
            print(f"Python {number} is not on this machine: ansible-test sanity is not run on it.")
            continue
        environment = {**os.environ, "HOME": str(HOME), "PATH": os.pathsep.join([str(command.parent), *path])}
        failed += bool(
            subprocess.run([command, "sanity", *sys.argv[1:]], cwd=COPY, env=environment, check=False).returncode
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
