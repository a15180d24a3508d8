# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an engine's words come to; the engine here is a stand-in, the real ones are in tests/integration/probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.denials import parse_denial
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr.names import parse_repository
from ansible_collections.policyproof.ecr.plugins.module_utils.engines import attempt as attempt_module
from ansible_collections.policyproof.ecr.plugins.module_utils.engines.attempt import Attempts
from ansible_collections.policyproof.ecr.plugins.module_utils.engines.interface import Engine, EngineFacts, Said, hides
from ansible_collections.policyproof.ecr.plugins.module_utils.engines.words import fault_of, no_such_image
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.deadline import Deadline
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.faults import Fault, Refused, SilentlyRefused
from ansible_collections.policyproof.ecr.plugins.module_utils.probe.private_place import PrivatePlace
from ansible_collections.policyproof.ecr.plugins.module_utils.registry.client import Login, Pulled
from ansible_collections.policyproof.ecr.plugins.module_utils.registry.image import ProbeImage

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = "sha256:" + "ab" * 32


def sentence(api_action: str) -> str:
    return (
        f"User: arn:aws:sts::123456789012:assumed-role/r/i-1 is not authorized to perform: {api_action} on resource: "
        "arn:aws:ecr:us-east-1:123456789012:repository/app with an explicit deny in a resource-based policy"
    )


def refused(api_action: str) -> Refused:
    denial = parse_denial(sentence(api_action))
    assert denial
    return Refused(denial)


class StandIn(Engine):
    """Says what it is told to say, and remembers what it holds."""

    name = "docker"

    def __init__(self, place: PrivatePlace, *words: Said) -> None:
        super().__init__(parse_repository(f"{HOST}/app"), place, Deadline(5))
        self.words = list(words)
        self.images: set[str] = set()

    def load(self, image: ProbeImage, reference: str) -> None:
        self.images.add(reference)

    def push(self, reference: str, patiently: bool = False) -> Said:
        return self.words.pop(0)

    def pull(self, reference: str, patiently: bool = False) -> Said:
        self.images.add(reference)
        return self.words.pop(0)

    def has(self, reference: str) -> bool:
        return reference in self.images

    def remove(self, reference: str) -> bool:
        self.images.discard(reference)
        return True


def say(what: Exception | None) -> None:
    """Raise it, if it is anything."""
    if what is not None:
        raise what


class Registry:
    """The registry, asked itself."""

    says: Exception | None = None
    asked = 0

    def __init__(self, *_: object) -> None:
        pass

    def ask_push(self, tag: str, order: list[str]) -> None:
        Registry.asked += 1
        if isinstance(self.says, SilentlyRefused) and "blob" not in order:
            return
        say(self.says)

    def pull(self, reference: str) -> Pulled:
        self.ask_push("", ["blob"])
        return Pulled(DIGEST, True)

    resolve = pull


class Api:
    says: Exception | None = None

    def check_layer(self, *_: object) -> None:
        say(self.says)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivatePlace]:
    base = str(tmp_path / "probe")
    made = PrivatePlace(base)
    monkeypatch.setattr(attempt_module, "Registry", Registry)
    real = attempt_module.held_alone
    monkeypatch.setattr(attempt_module, "held_alone", lambda name, deadline: real(name, deadline, base))
    monkeypatch.setattr(Registry, "says", None)
    monkeypatch.setattr(Registry, "asked", 0)
    monkeypatch.setattr(Api, "says", None)
    yield made
    made.remove()


def attempts(engine: StandIn, place: PrivatePlace) -> Attempts:
    return Attempts(engine, engine.repository, place, Deadline(5), lambda: Login("AWS", "x"), Api())


def said(*lines: str, **more: object) -> Said:
    text = "\n".join(lines)
    return Said(**{"succeeded": False, "lines": list(lines), "hidden": hides(text), **more})


DONE = Said(True, [f"t: digest: {DIGEST} size: 523"], digest=DIGEST, downloaded=True)
RETRYING = said("1e6ac1cb2e86: Retrying in 5 seconds")


def test_allowed_needs_the_engines_own_success(place: PrivatePlace) -> None:
    engine = StandIn(place, DONE)
    came = attempts(engine, place).push("t")
    assert (came.outcome, came.completed, came.digest, came.denial, came.fault) == ("allowed", True, DIGEST, None, None)
    assert engine.images == set()
    assert Registry.asked == 0


def test_the_sentence_is_a_denial(place: PrivatePlace) -> None:
    came = attempts(StandIn(place, said("denied: " + sentence("ecr:PutImage"))), place).push("t")
    assert came.outcome == "denied"
    assert came.denial is not None and came.denial.api_action == "ecr:PutImage"
    assert Registry.asked == 0


def test_a_hidden_refusal_is_denied_when_the_registry_says_so(place: PrivatePlace) -> None:
    Registry.says = refused("ecr:UploadLayerPart")
    came = attempts(StandIn(place, RETRYING), place).push("t")
    assert came.outcome == "denied"
    assert came.denial is not None and came.denial.api_action == "ecr:UploadLayerPart"
    assert came.messages[-1] == "The registry, asked itself: " + sentence("ecr:UploadLayerPart")


def test_a_hidden_refusal_is_an_error_when_the_registry_would_allow_it(place: PrivatePlace) -> None:
    came = attempts(StandIn(place, RETRYING, RETRYING), place).push("t")
    assert (came.outcome, came.denial) == ("error", None)
    assert came.fault is not None and came.fault.kind == "refusal_unconfirmed"
    assert Registry.asked == 2


def test_a_hidden_failure_that_passed_is_tried_again(place: PrivatePlace) -> None:
    came = attempts(StandIn(place, RETRYING, DONE), place).push("t")
    assert (came.outcome, came.completed) == ("allowed", True)


def test_what_the_registry_fails_with_is_the_fault(place: PrivatePlace) -> None:
    Registry.says = Fault("server_failing", host=HOST, status=500)
    came = attempts(StandIn(place, RETRYING), place).push("t")
    assert (came.outcome, came.denial) == ("error", None)
    assert came.fault is not None and came.fault.kind == "server_failing"


@pytest.mark.parametrize(
    ("api_says", "outcome"), [(refused("ecr:BatchCheckLayerAvailability"), "denied"), (None, "error")]
)
def test_silence_is_a_denial_only_if_the_ecr_api_says_so(
    place: PrivatePlace, api_says: Exception | None, outcome: str
) -> None:
    Registry.says = SilentlyRefused("ecr:BatchCheckLayerAvailability")
    Api.says = api_says
    came = attempts(StandIn(place, said("failed to read from destination: 403 (Forbidden)")), place).push("t")
    assert came.outcome == outcome
    if outcome == "error":
        assert came.fault is not None and came.fault.kind == "refused_without_reason"


def test_a_missing_image_is_allowed_and_incomplete(place: PrivatePlace) -> None:
    words = said(
        f"Error response from daemon: manifest for {HOST}/app:t not found: manifest unknown: Requested image not found"
    )
    came = attempts(StandIn(place, words), place).pull("t")
    assert (came.outcome, came.completed, came.digest) == ("allowed", False, None)


def test_layers_that_were_there_prove_nothing(place: PrivatePlace) -> None:
    there = Said(True, ["Already exists"], digest=DIGEST, downloaded=False)
    assert attempts(StandIn(place, there), place).pull("t").note is not None
    assert Registry.asked == 1
    Registry.says = refused("ecr:GetDownloadUrlForLayer")
    assert attempts(StandIn(place, there), place).pull("t").outcome == "denied"


def test_an_image_of_the_hosts_own_is_pulled_beside_and_kept(place: PrivatePlace) -> None:
    engine = StandIn(place, DONE)
    engine.images = {f"{HOST}/app:t"}
    assert attempts(engine, place).pull("t").completed
    assert engine.images == {f"{HOST}/app:t"}


def test_out_of_time(place: PrivatePlace) -> None:
    came = attempts(StandIn(place, said("Waiting", late=True)), place).push("t")
    assert came.fault is not None and came.fault.kind == "timed_out"


def test_the_hint_for_clients_that_read_first(place: PrivatePlace) -> None:
    engine = StandIn(place, said("unexpected status from HEAD request to https://h/v2/app/manifests/t: 403 Forbidden"))
    engine.facts = EngineFacts("nerdctl", "1", "containerd")
    Registry.says = refused("ecr:BatchGetImage")
    came = attempts(engine, place).push("t")
    assert came.outcome == "denied"
    assert came.note is not None and "ecr:BatchGetImage" in came.note and "classic" in came.note


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("no basic auth credentials", "not_logged_in"),
        ("denied: Your authorization token has expired. Reauthenticate and try again.", "token_expired"),
        ("denied: requested access to the resource is denied", "refused_by_registry"),
        ("Get https://h/v2/: dial tcp: lookup h: no such host", "dns_failure"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "connection_refused"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "engine_not_running"),
        ("permission denied while trying to connect to the Docker daemon socket", "engine_not_permitted"),
        ("x509: certificate is valid for elsewhere.invalid, not h", "tls_name"),
        ("x509: certificate signed by unknown authority", "tls_unknown_ca"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk_full"),
        ("name unknown: The repository with name 'app' does not exist", "repository_missing"),
        ("toomanyrequests: Rate exceeded", "throttled"),
        ("received unexpected HTTP status: 500 Internal Server Error", "server_failing"),
        ("Error saving credentials: error storing credentials - err: exit status 1", "credential_store"),
        ("tag invalid: The image tag 't' already exists; the repository is immutable", "tag_immutable"),
        ("something nobody has seen before", "unexpected"),
        ("", "unexpected"),
    ],
)  # fmt: skip
def test_words_and_their_faults(place: PrivatePlace, words: str, kind: str) -> None:
    fault = fault_of(words, "docker", HOST, "the push")
    assert fault.kind == kind
    assert fault.cause.endswith(".")
    engine = StandIn(place, Said(False, [words]), Said(False, [words]))
    came = attempts(engine, place).push("t")
    assert (came.outcome, came.denial) == ("error", None)


def test_a_missing_repository_is_no_missing_image() -> None:
    assert not no_such_image("repository h/app not found: name unknown: The repository with name 'app' does not exist")
    assert no_such_image("reading manifest t in h/app: manifest unknown: Requested image not found")


@pytest.mark.parametrize("work", [lambda a: a.push("t"), lambda a: a.pull("t")])
def test_the_registry_is_asked_by_its_own_login_only_when_needed(
    place: PrivatePlace, work: Callable[[Attempts], object]
) -> None:
    engine = StandIn(place, DONE)

    def no_login() -> Login:
        raise AssertionError("nobody needed a login")

    work(Attempts(engine, engine.repository, place, Deadline(5), no_login, Api()))


@pytest.mark.parametrize(
    "words",
    [
        "1e6ac1cb2e86: Retrying in 5 seconds",
        "EOF",
        "read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer",
        'Patch "https://h/v2/app/blobs/uploads/1": use of closed network connection',
        "failed to read from destination repository app: 403 (Forbidden)",
    ],
)
def test_words_that_hide_a_reason(words: str) -> None:
    assert hides(words)
    assert not hides("denied: " + sentence("ecr:PutImage"))
