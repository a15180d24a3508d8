# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How nerdctl is called; a script stands in for it here, since no package of the test systems has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.names import parse_repository
from ansible_collections.policyproof.ecr.plugins.module_utils.engines.choice import ENGINES, choose, make
from ansible_collections.policyproof.ecr.plugins.module_utils.engines.interface import Engine
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.deadline import Deadline
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.faults import Fault
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.private_place import PrivatePlace
from ansible_collections.policyproof.ecr.plugins.module_utils.registry.client import Login
from ansible_collections.policyproof.ecr.plugins.module_utils.registry.image import ProbeImage

REFERENCE = "h.example/app:probe-1"
STAND_IN = """#!/bin/sh
echo "$@ [$DOCKER_CONFIG]" >> {log}
case "$*" in
  *--version) echo "nerdctl version 1.7.6" ;;
  *" login "*) cat > {log}.stdin ;;
  *" load"*) wc -c < /dev/stdin > {log}.loaded ;;
  *" push "*) echo "unexpected status from HEAD request to https://h.example/v2/app: 403 Forbidden"; exit 1 ;;
  *" pull "*) echo "layer-sha256:12: done" ;;
  *" inspect "*) echo "sha256:{digest}" ;;
esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nerdctl"
    program.write_text(STAND_IN.format(log=tmp_path / "log", digest="ab" * 32))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return tmp_path / "log"


@pytest.fixture
def engine(tmp_path: Path, log: Path) -> Engine:
    return make("nerdctl", parse_repository("h.example/app"), PrivatePlace(str(tmp_path / "probe")), Deadline(20))


def test_every_call_is_in_a_namespace_of_the_runs_own(engine: Engine, log: Path) -> None:
    facts = engine.start()
    assert (facts.name, facts.version, facts.image_store) == ("nerdctl", "1.7.6", "containerd")
    engine.log_in(Login("AWS", "the-password"))
    engine.load(ProbeImage(), REFERENCE)
    pushed = engine.push(REFERENCE)
    pulled = engine.pull(REFERENCE)
    assert engine.remove(REFERENCE)
    calls = log.read_text().splitlines()
    namespace = "--namespace=policyproof-" + Path(engine.place.path).name.replace("_", "-")
    assert all(call.startswith(namespace) for call in calls)
    assert calls[-1].startswith(f"{namespace} namespace remove policyproof-run-")
    assert all(f"[{engine.place.path}/nerdctl-home/.docker]" in call for call in calls)
    assert "the-password" not in log.read_text()
    assert Path(f"{log}.stdin").read_text() == "the-password"
    assert int(Path(f"{log}.loaded").read_text()) > 1024
    assert (pushed.succeeded, pushed.hidden) == (False, True)
    assert (pulled.succeeded, pulled.downloaded, pulled.digest) == (True, True, "sha256:" + "ab" * 32)


def test_it_reads_the_manifest_before_it_pushes(engine: Engine) -> None:
    assert engine.push_order[0] == "read"


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make("nerdctl", parse_repository("h.example/app"), PrivatePlace(str(tmp_path / "probe")), Deadline(5))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("shutil.which", lambda *_args, **_named: None)
    with pytest.raises(Fault) as raised:
        engine.start()
    assert raised.value.kind == "engine_missing"


def test_auto_takes_the_first_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: set[str] = set()
    programs = {name: tmp_path / name for name in ENGINES}
    for program in programs.values():
        program.write_text("#!/bin/sh\n")
    monkeypatch.setattr("shutil.which", lambda name, **_named: str(programs[name]) if name in installed else None)
    assert choose("auto") == "registry"
    installed |= {"nerdctl"}
    assert choose("auto") == "nerdctl"
    installed |= {"podman"}
    assert choose("auto") == "podman"
    installed |= {"docker"}
    assert choose("auto") == "docker"
    programs["docker"].write_text('#!/bin/sh\nexec /usr/bin/podman "$@"\n')
    assert choose("auto") == "podman"
    assert choose("docker") == "docker"
