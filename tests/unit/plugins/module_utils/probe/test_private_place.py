# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.probe import private_place
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.deadline import Deadline
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.faults import Fault
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.private_place import PrivatePlace, held_alone


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(tmp_path / "probe")


def killed_run(base: str, entries: list[dict[str, str]]) -> str:
    """The place of a run that was killed with SIGKILL."""
    script = (
        "import json, os, signal, sys\n"
        "from ansible_collections.policyproof.ecr.plugins.module_utils.probe.private_place import PrivatePlace\n"
        "place = PrivatePlace(sys.argv[1])\n"
        "open(os.path.join(place.make_directory('docker-home'), 'config.json'), 'w').write('password')\n"
        "for entry in json.loads(sys.argv[2]): place.note(**entry)\n"
        "print(place.path, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, base, json.dumps(entries)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == -9
    return ran.stdout.strip()


def test_a_place_is_for_its_user_alone_and_leaves_nothing(base: str) -> None:
    place = PrivatePlace(base)
    for path in (base, place.path, place.make_directory("home")):
        assert os.stat(path).st_mode & 0o777 == 0o700
    place.remove()
    assert not os.path.exists(base)


def test_the_next_run_cleans_after_a_killed_one(base: str) -> None:
    dead = killed_run(base, [{"engine": "docker", "reference": "h/app:probe-1"}])
    assert os.path.exists(os.path.join(dead, "docker-home", "config.json"))
    place, taken = PrivatePlace(base), []
    place.clean_after_the_dead(lambda entry: not taken.append(entry))
    assert taken == [{"engine": "docker", "reference": "h/app:probe-1"}]
    assert not os.path.exists(dead)
    place.remove()
    assert not os.path.exists(base)


def test_what_could_not_be_taken_away_is_kept_in_mind(base: str) -> None:
    dead = killed_run(base, [{"engine": "docker", "reference": "h/app:probe-1"}])
    place = PrivatePlace(base)
    place.clean_after_the_dead(lambda entry: False)
    assert os.path.exists(dead)
    place.remove()
    assert os.path.exists(dead)


def test_a_living_run_is_left_alone(base: str) -> None:
    living, other = PrivatePlace(base), PrivatePlace(base)
    living.note(engine="docker", reference="h/app:probe-1")
    other.clean_after_the_dead(lambda entry: pytest.fail("it lives"))
    other.remove()
    assert os.path.exists(living.path)
    living.forget(engine="docker", reference="h/app:probe-1")
    living.remove()


def test_an_unfinished_journal_outlives_its_run_without_the_login(base: str) -> None:
    place = PrivatePlace(base)
    Path(place.make_directory("home"), "config.json").write_text("password")
    place.note(engine="docker", reference="h/app:probe-1")
    place.remove()
    assert sorted(os.listdir(place.path)) == ["journal.json", "lock"]
    following, taken = PrivatePlace(base), []
    following.clean_after_the_dead(lambda entry: not taken.append(entry))
    assert taken == [{"engine": "docker", "reference": "h/app:probe-1"}]
    following.remove()
    assert not os.path.exists(base)


def test_a_directory_without_a_lock_is_dead_only_when_it_is_old(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = PrivatePlace(base)
    half_made = os.path.join(base, "run-halfmade")
    os.mkdir(half_made)
    place.clean_after_the_dead(lambda entry: True)
    assert os.path.exists(half_made)
    os.utime(half_made, (time.time() - 60,) * 2)
    place.clean_after_the_dead(lambda entry: True)
    assert not os.path.exists(half_made)


@pytest.mark.parametrize("prepare", ["link", "open", "file"])
def test_a_place_that_somebody_else_prepared_is_refused(base: str, tmp_path: Path, prepare: str) -> None:
    if prepare == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        os.symlink(tmp_path / "elsewhere", base)
    elif prepare == "open":
        os.mkdir(base)
        os.chmod(base, 0o755)
    else:
        Path(base).touch()
    with pytest.raises(Fault) as raised:
        PrivatePlace(base)
    assert raised.value.kind == "private_place"
    assert base in raised.value.cause


def test_only_one_at_a_time(base: str) -> None:
    os.mkdir(base, 0o700)
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with held_alone("image", Deadline(20), base):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _turn in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 10
    assert os.listdir(base) == []


def test_waiting_ends_with_the_time(base: str) -> None:
    os.mkdir(base, 0o700)
    with (
        held_alone("image", Deadline(5), base),
        pytest.raises(Fault, match="seconds allowed"),
        held_alone("image", Deadline(0.2), base),
    ):
        pass


def test_root_keeps_its_place_off_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert private_place.base_directory() == "/run/policyproof-probe"
