# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's registry as real clients find it: docker, podman, skopeo and buildah, under the tutorial's policy.

Each client runs in a mount namespace of its own, in which the registry's name leads to this machine.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
REPOSITORY = "fa-085"
PUSH = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
]
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
EXPLICIT = "with an explicit deny in a resource-based policy"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces need root")


@dataclass
class Ended:
    """How a client ended."""

    status: int
    output: str
    seconds: float


class Registry:
    """A lab, a repository in it, and three principals that the tutorial's policy tells apart."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        up = _lab("up", directory / "lab")
        self.host = up["registry_host"]
        self.aws = up["aws_endpoint"]
        described = json.loads((directory / "lab" / "lab.json").read_text())
        self._deployer = (described["access_key"], described["secret_key"])
        self.certificates = directory / "certificates"
        self.certificates.mkdir()
        shutil.copy(up["ca_file"], self.certificates / "ca.crt")
        name = self.host.partition(":")[0]
        (directory / "hosts").write_text(Path("/etc/hosts").read_text() + f"\n127.0.0.1 {name}\n")
        (directory / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.ecr = self.client("ecr")
        self.ecr.create_repository(repositoryName=REPOSITORY)
        self.arns = {name: self._role(name) for name in ("instance1", "instance2", "instance3")}
        self.ecr.set_repository_policy(repositoryName=REPOSITORY, policyText=self._policy(up["deployer"]))
        self.passwords = {name: self._password(arn, f"i-0{name}") for name, arn in self.arns.items()}

    def client(self, service: str, *keys: str) -> Any:
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        credentials = dict(zip(names, keys or self._deployer, strict=False))
        return boto3.client(service, endpoint_url=self.aws, region_name="us-east-1", **credentials)

    def _role(self, name: str) -> str:
        iam = self.client("iam")
        arn: str = iam.create_role(RoleName=f"fa-085-{name}", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        policy = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryFullAccess"
        iam.attach_role_policy(RoleName=f"fa-085-{name}", PolicyArn=policy)
        return arn

    def _policy(self, deployer: str) -> str:
        push, pull = self.arns["instance1"], self.arns["instance2"]
        common = {"Effect": "Deny", "Principal": "*"}
        statements = [
            {**common, "NotAction": PUSH, "Condition": {"ArnEquals": {"aws:PrincipalArn": push}}},
            {**common, "NotAction": PULL, "Condition": {"ArnEquals": {"aws:PrincipalArn": pull}}},
            {**common, "Action": "*", "Condition": {"ArnNotEquals": {"aws:PrincipalArn": [push, pull, deployer]}}},
        ]
        return json.dumps({"Version": "2012-10-17", "Statement": statements})

    def _password(self, role: str, session: str) -> str:
        keys = self.client("sts").assume_role(RoleArn=role, RoleSessionName=session)["Credentials"]
        ecr = self.client("ecr", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        return base64.b64decode(token).decode().partition(":")[2]

    def image(self, tag: str) -> str:
        """The image's name in this registry."""
        return f"{self.host}/{REPOSITORY}:{tag}"

    def digests(self) -> dict[str, str]:
        """Digests by tag, as the API describes them."""
        details = self.ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
        return {tag: image["imageDigest"] for image in details for tag in image.get("imageTags", [])}

    def sentence(self, principal: str, action: str) -> str:
        """What ECR says to a principal that may not."""
        return (
            f"User: arn:aws:sts::123456789012:assumed-role/fa-085-{principal}/i-0{principal} is not authorized to "
            f"perform: {action} on resource: arn:aws:ecr:us-east-1:123456789012:repository/{REPOSITORY} {EXPLICIT}"
        )

    def fault(self, method: str, name: str, **wish: Any) -> None:
        url = f"{self.aws}/_policyproof/faults/{name}"
        request = urllib.request.Request(url, json.dumps(wish).encode(), method=method)
        urllib.request.urlopen(request, timeout=10).close()

    def inside(self, *command: str | Path) -> list[str]:
        """A command in a mount namespace in which the registry has its name."""
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(self.directory / "hosts"), *map(str, command)]

    def run(self, *command: str | Path, stdin: str = "", **environment: str) -> Ended:
        """Run a client to its end."""
        began = time.monotonic()
        finished = subprocess.run(
            self.inside(*command),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            env={**os.environ, **environment},
            check=False,
        )
        return Ended(finished.returncode, finished.stdout, time.monotonic() - began)


def _lab(command: str, state: Path) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, CHECKOUT / "lab", command, "--state", state],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    directory = tmp_path_factory.mktemp("registry")
    try:
        yield Registry(directory)
    finally:
        _lab("down", directory / "lab")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A docker archive of an image, probe:1, with one random layer."""
    layer = _tar({"probe": os.urandom(100)})
    diff = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        }
    ).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": ["probe:1"], "Layers": [f"{diff}/layer.tar"]}]
    path = tmp_path / "probe.tar"
    path.write_bytes(_tar({name: config, f"{diff}/layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}))
    return path


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed on this machine")
    return found


def _skopeo(registry: Registry, principal: str, source: str, destination: str) -> Ended:
    side = "dest" if destination.startswith("docker:") else "src"
    return registry.run(
        _needs("skopeo"),
        "--policy",
        registry.directory / "policy.json",
        "copy",
        f"--{side}-cert-dir={registry.certificates}",
        f"--{side}-creds=AWS:{registry.passwords[principal]}",
        source,
        destination,
    )


def test_skopeo(registry: Registry, archive: Path, tmp_path: Path) -> None:
    image = f"docker://{registry.image('skopeo')}"
    for principal in ("instance2", "instance3"):
        denied = _skopeo(registry, principal, f"docker-archive:{archive}", image)
        assert denied.status != 0
        assert "403 (Forbidden)" in denied.output
    pushed = _skopeo(registry, "instance1", f"docker-archive:{archive}", image)
    assert pushed.status == 0, pushed.output
    for principal in ("instance1", "instance3"):
        denied = _skopeo(registry, principal, image, f"dir:{tmp_path / principal}")
        assert denied.status != 0
        assert registry.sentence(principal, "ecr:BatchGetImage") in denied.output
    pulled = _skopeo(registry, "instance2", image, f"dir:{tmp_path / 'pulled'}")
    assert pulled.status == 0, pulled.output
    manifest = (tmp_path / "pulled" / "manifest.json").read_bytes()
    assert registry.digests()["skopeo"] == "sha256:" + hashlib.sha256(manifest).hexdigest()


def test_an_oci_image_by_skopeo(registry: Registry, archive: Path, tmp_path: Path) -> None:
    layout = f"oci:{tmp_path / 'layout'}:latest"
    converted = registry.run(
        _needs("skopeo"), "--policy", registry.directory / "policy.json", "copy", f"docker-archive:{archive}", layout
    )
    assert converted.status == 0, converted.output
    pushed = _skopeo(registry, "instance1", layout, f"docker://{registry.image('oci')}")
    assert pushed.status == 0, pushed.output
    (described,) = registry.ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "oci"}])[
        "imageDetails"
    ]
    assert described["imageManifestMediaType"] == "application/vnd.oci.image.manifest.v1+json"
    pulled = _skopeo(registry, "instance2", f"docker://{registry.image('oci')}", f"dir:{tmp_path / 'pulled'}")
    assert pulled.status == 0, pulled.output


@pytest.fixture
def containers_storage() -> Iterator[list[str]]:
    """Options that keep podman's and buildah's images apart. podman takes no path of more than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="containers-", dir="/tmp") as directory:
        yield ["--storage-driver=vfs", f"--root={directory}/storage", f"--runroot={directory}/run"]


def test_podman_and_buildah(registry: Registry, archive: Path, tmp_path: Path, containers_storage: list[str]) -> None:
    storage = containers_storage
    podman = [_needs("podman"), *storage]
    trust = f"--cert-dir={registry.certificates}"
    outcomes = {}
    assert registry.run(*podman, "load", "-q", "-i", archive).status == 0
    for principal in ("instance1", "instance2", "instance3"):
        login = {"REGISTRY_AUTH_FILE": str(tmp_path / f"{principal}.json")}
        logged_in = registry.run(
            *podman,
            "login",
            "-u",
            "AWS",
            "--password-stdin",
            trust,
            registry.host,
            stdin=registry.passwords[principal],
            **login,
        )
        assert logged_in.status == 0, logged_in.output
        target = registry.image(f"podman-{principal}")
        assert registry.run(*podman, "tag", "localhost/probe:1", target).status == 0
        outcomes[principal, "push"] = registry.run(*podman, "push", trust, target, **login)
        outcomes[principal, "pull"] = registry.run(*podman, "pull", trust, registry.image("podman-instance1"), **login)
    allowed = {key for key, ended in outcomes.items() if ended.status == 0}
    assert allowed == {("instance1", "push"), ("instance2", "pull")}, outcomes
    for principal in ("instance1", "instance3"):
        assert registry.sentence(principal, "ecr:BatchGetImage") in outcomes[principal, "pull"].output
    built = registry.run(
        _needs("buildah"),
        *storage,
        "push",
        trust,
        f"--creds=AWS:{registry.passwords['instance1']}",
        "localhost/probe:1",
        f"docker://{registry.image('buildah')}",
    )
    assert built.status == 0, built.output
    assert {"podman-instance1", "buildah"} <= set(registry.digests())


def test_podman_trusts_the_lab_s_authority_alone(registry: Registry) -> None:
    image = f"docker://{registry.image('skopeo')}"
    stranger = registry.run(_needs("skopeo"), "inspect", f"--creds=AWS:{registry.passwords['instance2']}", image)
    assert stranger.status != 0
    assert "x509: certificate signed by unknown authority" in stranger.output


@pytest.fixture(scope="module")
def docker(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of the programs of a Docker Engine that is running; its socket is beside them."""
    directory = tmp_path_factory.mktemp("docker")
    programs = _docker_programs(directory)
    (directory / "daemon.json").write_text("{}")
    state = [f"--{name}={directory / name}" for name in ("data-root", "exec-root", "pidfile")]
    upper, work = directory / "etc", directory / "etc-work"
    upper.mkdir()
    work.mkdir()
    # The daemon writes a key below /etc/docker, whatever it is told: in an overlay that goes with it.
    overlay = f"lowerdir=/etc,upperdir={upper},workdir={work}"
    script = 'mount -t overlay overlay -o "$0" /etc && cp "$1" /etc/hosts && shift && exec "$@"'
    with (directory / "log").open("wb") as log:
        daemon = subprocess.Popen(
            registry.inside(
                "sh",
                "-c",
                script,
                overlay,
                registry.directory / "hosts",
                programs / "dockerd",
                f"--config-file={directory / 'daemon.json'}",
                *state,
                f"--host=unix://{directory / 'socket'}",
                "--bridge=none",
                "--iptables=false",
                "--ip-forward=false",
            ),
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        )
    try:
        client = [programs / "docker", f"--host=unix://{directory / 'socket'}", "info"]
        deadline = time.monotonic() + 60
        while subprocess.run(client, capture_output=True, check=False).returncode:
            assert daemon.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.2)
        yield directory
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)


def _docker_programs(directory: Path) -> Path:
    """Docker's programs: those of the machine, or the distribution's, unpacked without being installed."""
    installed = shutil.which("dockerd")
    if installed:
        return Path(installed).parent
    if not shutil.which("apt-get"):
        pytest.skip("dockerd is not installed on this machine, and apt-get is not there to get it")
    downloads = directory / "downloads"
    downloads.mkdir()
    packages = ["docker.io", "containerd", "runc", "tini"]
    subprocess.run(["apt-get", "download", "-qq", *packages], cwd=downloads, check=True, timeout=300)
    for package in downloads.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, directory / "unpacked"], check=True)
        package.unlink()
    programs = directory / "programs"
    programs.mkdir()
    for folder in ("bin", "sbin"):
        for program in (directory / "unpacked" / "usr" / folder).iterdir():
            if not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    return programs


class Docker:
    """A docker client, logged in as one principal, with a configuration of its own."""

    def __init__(self, registry: Registry, engine: Path, principal: str, configuration: Path) -> None:
        self._registry = registry
        program = shutil.which("docker", path=str(engine / "programs")) or _needs("docker")
        self._command = [program, f"--config={configuration}", f"--host=unix://{engine / 'socket'}"]
        configuration.mkdir(exist_ok=True)
        password = registry.passwords[principal]
        logged_in = self("login", "-u", "AWS", "--password-stdin", registry.host, stdin=password)
        assert logged_in.status == 0, logged_in.output

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Ended:
        return self._registry.run(*self._command, *arguments, stdin=stdin)


def test_docker(registry: Registry, docker: Path, archive: Path, tmp_path: Path) -> None:
    clients = {name: Docker(registry, docker, name, tmp_path / name) for name in registry.passwords}
    loaded = clients["instance1"]("load", "-i", archive)
    assert loaded.status == 0, loaded.output
    for name, client in clients.items():
        assert client("tag", "probe:1", registry.image(f"docker-{name}")).status == 0
    for name in ("instance2", "instance3"):
        denied = clients[name]("push", registry.image(f"docker-{name}"))
        assert denied.status != 0
        assert "denied: " + registry.sentence(name, "ecr:InitiateLayerUpload") in denied.output
        assert denied.seconds < 5
    pushed = clients["instance1"]("push", registry.image("docker-instance1"))
    assert pushed.status == 0, pushed.output
    digest = re.search(r"digest: (sha256:[0-9a-f]{64})", pushed.output)
    assert digest
    assert registry.digests()["docker-instance1"] == digest[1]
    assert pushed.seconds < 5
    assert clients["instance2"]("rmi", "probe:1", *(registry.image(f"docker-{name}") for name in clients)).status == 0
    for name in ("instance1", "instance3"):
        denied = clients[name]("pull", registry.image("docker-instance1"))
        assert denied.status != 0
        assert registry.sentence(name, "ecr:BatchGetImage") in denied.output
    pulled = clients["instance2"]("pull", registry.image("docker-instance1"))
    assert pulled.status == 0, pulled.output
    assert digest[1] in pulled.output


def test_docker_shows_no_reason_where_the_registry_drops_the_connection(
    registry: Registry, docker: Path, archive: Path, tmp_path: Path
) -> None:
    """What the tutorial saw: a countdown, again and again. It is not waited for."""
    client = Docker(registry, docker, "instance3", tmp_path / "instance3")
    assert client("load", "-i", archive).status == 0
    image = registry.image("hidden")
    assert client("tag", "probe:1", image).status == 0
    registry.fault("PUT", "hidden_refusal", caller="i-0instance3")
    try:
        shown = registry.run("timeout", "4", *client._command, "push", image)
    finally:
        registry.fault("DELETE", "hidden_refusal")
    assert "Retrying in 5 seconds" in shown.output
    assert "not authorized" not in shown.output
    denied = client("push", image)
    assert registry.sentence("instance3", "ecr:InitiateLayerUpload") in denied.output


def test_no_token_is_left_in_the_lab_s_files(registry: Registry) -> None:
    everything = [path for path in (registry.directory / "lab").rglob("*") if path.is_file()]
    assert any(path.name == "lab.log" for path in everything)
    secrets = [password.encode() for password in registry.passwords.values()]
    secrets += [base64.b64encode(f"AWS:{password}".encode()) for password in registry.passwords.values()]
    assert [path for path in everything if any(secret in path.read_bytes() for secret in secrets)] == []
