# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An ECR of its own for each test: moto, the API in front of it, and the registry, over real sockets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import logging
import os
import socket
import ssl
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from ansible_collections.policyproof.ecr.lab.aws import AwsServer, create_deployer, moto_application
from ansible_collections.policyproof.ecr.lab.ecr import Ecr
from ansible_collections.policyproof.ecr.lab.settings import Settings
from botocore.config import Config
from moto.core.base_backend import BackendDict
from moto.ecr.models import ECRBackend, Image, Repository
from moto.iam import models

ACCOUNT = "123456789012"
REGION = "us-east-1"
REPOSITORY = "fa-085"
REPOSITORY_ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{REPOSITORY}"
FULL_ACCESS = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryFullAccess"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"

MANAGED_POLICIES = (
    "AdministratorAccess",
    "AmazonEC2ContainerRegistryFullAccess",
    "AmazonEC2ContainerRegistryPowerUser",
)

# What the lab replaces of moto, and every test gives back.
REPLACED = (
    (ECRBackend, "set_repository_policy"),
    (ECRBackend, "complete_layer_upload"),
    (ECRBackend, "put_image"),
    (ECRBackend, "batch_delete_image"),
    (ECRBackend, "create_repository"),
    (ECRBackend, "delete_lifecycle_policy"),
    (ECRBackend, "delete_repository"),
    (ECRBackend, "delete_repository_policy"),
    (ECRBackend, "put_image_scanning_configuration"),
    (ECRBackend, "put_image_tag_mutability"),
    (ECRBackend, "put_lifecycle_policy"),
    (Image, "get_image_size_in_bytes"),
    (Repository, "update"),
)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Answer:
    """An answer of the registry."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def error(self) -> tuple[str, str]:
        """Code and message of the only error in it."""
        (error,) = json.loads(self.content)["errors"]
        return error["code"], error["message"]


class RegistryClient:
    """One connection to the registry, kept alive, with TLS verified. Not the product's client: a second opinion."""

    def __init__(self, lab: LabOfEcr, password: str | None) -> None:
        self._lab = lab
        self._authorization = base64.b64encode(f"AWS:{password}".encode()).decode() if password else None
        self.connections = 0
        self._connection: http.client.HTTPSConnection | None = None

    def _connected(self) -> http.client.HTTPSConnection:
        if self._connection is None or self._connection.sock is None:
            settings = self._lab.settings
            plain = socket.create_connection(("127.0.0.1", settings.registry_port), timeout=5)
            context = ssl.create_default_context(cafile=str(self._lab.ecr.ca_file))
            connection = http.client.HTTPSConnection(settings.registry_name, settings.registry_port, timeout=5)
            connection.sock = context.wrap_socket(plain, server_hostname=settings.registry_name)
            self._connection = connection
            self.connections += 1
        return self._connection

    def __call__(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        **headers: str,
    ) -> Answer:
        """Send a request. ``target``: a path, or a URL at the registry. Headers with ``_`` for ``-``."""
        target = target.removeprefix(f"https://{self._lab.settings.registry_host}")
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._authorization:
            fields["Authorization"] = f"Basic {self._authorization}"
        chunked = body is not None and not isinstance(body, bytes)
        if chunked:
            fields["Transfer-Encoding"] = "chunked"
        connection = self._connected()
        try:
            connection.request(method, target, body, fields, encode_chunked=chunked)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def upload(self, content: bytes, repository: str = REPOSITORY) -> str:
        """Push one blob as docker does; return its digest."""
        begun = self("POST", f"/v2/{repository}/blobs/uploads/")
        assert begun.status == 202, begun
        appended = self("PATCH", begun.headers["Location"], iter([content[:10], content[10:]]))
        assert appended.status == 202, appended
        digest = digest_of(content)
        completed = self("PUT", f"{appended.headers['Location']}?digest={digest}")
        assert completed.status == 201, completed
        assert completed.headers["Docker-Content-Digest"] == digest
        return digest

    def push(self, tag: str, layer: bytes = b"a layer of some bytes", repository: str = REPOSITORY) -> bytes:
        """Push an image of one layer; return its manifest."""
        config = json.dumps({"of": layer.hex()}).encode()
        manifest = manifest_of(self.upload(config, repository), len(config), self.upload(layer, repository), len(layer))
        pushed = self("PUT", f"/v2/{repository}/manifests/{tag}", manifest, Content_Type=MANIFEST_TYPE)
        assert pushed.status == 201, pushed
        assert pushed.headers["Docker-Content-Digest"] == digest_of(manifest)
        return manifest


def manifest_of(config: str, config_size: int, layer: str, layer_size: int) -> bytes:
    """A manifest, formatted as nobody else would: its digest is that of these bytes."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": config_size,
                "digest": config,
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": layer_size,
                    "digest": layer,
                }
            ],
        },
        indent=5,
    ).encode()


class LabOfEcr:
    """The lab's ECR, its deployer, and principals to try it with."""

    def __init__(self, state: Path) -> None:
        aws, registry = _bound(), _bound()
        self.settings = Settings(state, REGION, ACCOUNT, aws.getsockname()[1], registry.getsockname()[1], 1)
        self.ecr = Ecr(self.settings, registry)
        self._server = AwsServer(self.settings, aws, self.ecr.in_front_of(moto_application()))
        self._deployer: dict[str, str] = {}

    def start(self) -> None:
        self._server.start()
        self.ecr.start()

    def begin_anew(self) -> None:
        """Forget everything, then make the deployer and a repository."""
        BackendDict.reset()
        self.ecr.faults.switch_off()
        self._deployer = create_deployer(self.settings)
        self.client("ecr").create_repository(repositoryName=REPOSITORY)

    def stop(self) -> None:
        self.ecr.stop()
        self._server.stop()

    @property
    def deployer_arn(self) -> str:
        return self._deployer["deployer"]

    def client(self, service: str, credentials: dict[str, str] | None = None, patience: float = 5) -> Any:
        """A boto3 client; the deployer's unless told otherwise. It does not try again, and waits some seconds."""
        return boto3.client(
            service,
            endpoint_url=self.settings.aws_endpoint,
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=patience),
            **(
                credentials
                or {
                    "aws_access_key_id": self._deployer["access_key"],
                    "aws_secret_access_key": self._deployer["secret_key"],
                }
            ),
        )

    def role(self, name: str, policy: dict[str, Any] | None = None, **wish: Any) -> str:
        """Make a role, with full access to ECR unless another policy is given; return its ARN."""
        iam = self.client("iam")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}", **wish)["Role"]["Arn"]
        if policy is None:
            iam.attach_role_policy(RoleName=name, PolicyArn=FULL_ACCESS)
        else:
            iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(policy))
        return arn

    def session(self, role_arn: str, name: str = "i-0123456789abcdef0", **wish: Any) -> dict[str, str]:
        """Credentials of a role's session, as boto3 takes them."""
        credentials = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name, **wish)["Credentials"]
        return {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        }

    def password(self, credentials: dict[str, str] | None = None) -> str:
        """Password for the registry; the deployer's unless told otherwise."""
        (data,) = self.client("ecr", credentials).get_authorization_token()["authorizationData"]
        name, _colon, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        assert name == "AWS"
        return password

    def registry(self, credentials: dict[str, str] | None = None) -> RegistryClient:
        """A client of the registry, logged in; the deployer's unless told otherwise."""
        return RegistryClient(self, self.password(credentials))

    def anonymous(self) -> RegistryClient:
        """A client of the registry that has not logged in."""
        return RegistryClient(self, None)

    def set_policy(self, *statements: dict[str, Any]) -> None:
        """Give the repository a policy."""
        text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.client("ecr").set_repository_policy(repositoryName=REPOSITORY, policyText=text)

    def fault(self, name: str, **wish: Any) -> None:
        """Switch a fault on, as tests on instances do: over HTTP."""
        self.control("PUT", f"/{name}", wish)

    def control(self, method: str, path: str = "", wish: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.settings.aws_endpoint}/_policyproof/faults{path}",
            data=json.dumps(wish).encode() if wish is not None else None,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            result: dict[str, Any] = json.load(answer)
            return result


def _bound() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


@contextlib.contextmanager
def _running(state: Path) -> Iterator[LabOfEcr]:
    """A lab's ECR that serves; moto is as it was before when it has ended."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        # Of AWS's fifteen hundred policies, each of which moto parses anew for every test, those that are used.
        every = json.loads(models.aws_managed_policies_data)
        patch.setattr(models, "aws_managed_policies_data", json.dumps({name: every[name] for name in MANAGED_POLICIES}))
        for owner, name in REPLACED:
            patch.setattr(owner, name, getattr(owner, name))
        lab = LabOfEcr(state)
        lab.start()
        try:
            yield lab
        finally:
            lab.stop()
            BackendDict.reset()


@pytest.fixture(scope="module")
def _shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabOfEcr]:
    with _running(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(_shared_lab: LabOfEcr, caplog: pytest.LogCaptureFixture) -> LabOfEcr:
    """A lab in which nothing is but the deployer and an empty repository; its server is the module's."""
    caplog.set_level(logging.INFO, "lab")
    _shared_lab.begin_anew()
    return _shared_lab


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[LabOfEcr]:
    """A lab that a test may stop."""
    with _running(tmp_path) as lab:
        lab.begin_anew()
        yield lab
