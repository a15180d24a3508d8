# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The metadata service of one instance, over HTTP, after the EC2 User Guide."""

from __future__ import annotations

import datetime
import http.client
import json

import boto3
import pytest
from ansible_collections.policyproof.ecr.lab.instances import credentials as credentials_module
from ansible_collections.policyproof.ecr.lab.instances.credentials import RoleCredentials
from ansible_collections.policyproof.ecr.lab.instances.identity import Identity
from ansible_collections.policyproof.ecr.lab.instances.metadata import MetadataServer, Tokens
from botocore.utils import InstanceMetadataFetcher
from moto import mock_aws
from moto.ec2.models import ec2_backends

ACCOUNT, REGION = "123456789012", "eu-central-1"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


@pytest.fixture(scope="module")
def iam():
    """IAM in a moto of this module's own."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        with mock_aws():
            yield boto3.client("iam", REGION)


@pytest.fixture(scope="module")
def instance(iam):
    """One instance, as moto knows it."""
    iam.create_role(RoleName="carried", AssumeRolePolicyDocument="{}", Path="/teams/")
    iam.create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="carrier")
    answer = boto3.client("ec2", REGION).run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        InstanceType="t3.micro",
        IamInstanceProfile={"Name": "carrier"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Principal", "Value": "instance1"}]}],
        UserData="#!/bin/sh\necho hello\n",
    )
    return ec2_backends[ACCOUNT][REGION].get_instance(answer["Instances"][0]["InstanceId"])


@pytest.fixture
def identity(instance, iam):
    """The instance with the role "carried", and with IMDSv2 required."""
    options = instance.metadata_options
    options.http_tokens, options.http_endpoint, options.instance_metadata_tags = "required", "enabled", "enabled"
    change_role(iam, "carried")
    return Identity(instance)


def change_role(iam, name: str | None) -> None:
    """Let the instance profile carry this role, or none."""
    for role in iam.get_instance_profile(InstanceProfileName="carrier")["InstanceProfile"]["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName="carrier", RoleName=role["RoleName"])
    if name:
        iam.add_role_to_instance_profile(InstanceProfileName="carrier", RoleName=name)


class Service:
    """A client of one metadata service."""

    def __init__(self, server: MetadataServer) -> None:
        self.endpoint = server.endpoint
        self._address = server.endpoint.removeprefix("http://")

    def request(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection(self._address, timeout=5)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def token(self) -> str:
        """A token of a minute."""
        status, body = self.request("PUT", "/latest/api/token", **{TTL: "60"})
        assert status == 200
        return body

    def read(self, path: str) -> str:
        """What is at a path."""
        status, body = self.request("GET", f"/latest/{path}", **{TOKEN: self.token()})
        assert status == 200, path
        return body


@pytest.fixture
def service(identity):
    server = MetadataServer(identity)
    server.start()
    yield Service(server)
    server.stop()


@pytest.mark.parametrize("lifetime", ["1", "21600"])
def test_tokens_live_as_long_as_asked(service, lifetime):
    assert service.request("PUT", "/latest/api/token", **{TTL: lifetime})[0] == 200


@pytest.mark.parametrize("headers", [{}, *({TTL: bad} for bad in ("0", "21601", "-1", "x", "", "1.5", "९"))])
def test_tokens_of_no_such_life_are_refused(service, headers):
    headers = {name: value.encode() for name, value in headers.items()}
    assert service.request("PUT", "/latest/api/token", **headers)[0] == 400


def test_no_token_through_a_proxy(service):
    assert service.request("PUT", "/latest/api/token", X_Forwarded_For="10.0.0.1", **{TTL: "60"})[0] == 403


def test_nothing_without_a_token_where_one_is_required(service):
    assert service.request("GET", "/latest/meta-data/instance-id")[0] == 401


def test_without_a_token_where_it_is_optional(service, identity):
    identity.options.http_tokens = "optional"
    assert service.request("GET", "/latest/meta-data/instance-id") == (200, identity.id)
    assert service.request("GET", "/latest/meta-data/instance-id", **{TOKEN: "wrong"})[0] == 401


def test_nothing_with_another_token(service):
    assert service.request("GET", "/latest/meta-data/instance-id", **{TOKEN: "wrong"})[0] == 401


def test_nothing_at_all_where_the_endpoint_is_off(service, identity):
    token = service.token()
    identity.options.http_endpoint = "disabled"
    assert service.request("GET", "/latest/meta-data/instance-id", **{TOKEN: token})[0] == 403
    assert service.request("PUT", "/latest/api/token", **{TTL: "60"})[0] == 403


def test_a_token_ends():
    now = [100.0]
    tokens = Tokens(clock=lambda: now[0])
    token = tokens.issue(60)
    now[0] = 159.9
    assert tokens.accepts(token)
    now[0] = 160.0
    assert not tokens.accepts(token)
    assert not tokens.accepts("")


def test_what_an_instance_is(service, identity):
    assert service.read("meta-data/instance-id") == identity.id
    assert service.read("meta-data/local-ipv4") == identity.private_ip
    name = "ip-" + identity.private_ip.replace(".", "-") + ".eu-central-1.compute.internal"
    assert service.read("meta-data/hostname") == service.read("meta-data/local-hostname") == name
    assert service.read("meta-data/placement/region") == REGION
    assert service.read("meta-data/placement/availability-zone") == "eu-central-1a"
    assert service.read("meta-data/instance-type") == "t3.micro"
    assert service.read("meta-data/tags/instance/Principal") == "instance1"
    assert service.read("user-data") == "#!/bin/sh\necho hello\n"
    document = json.loads(service.read("dynamic/instance-identity/document"))
    assert (document["instanceId"], document["accountId"], document["region"]) == (identity.id, ACCOUNT, REGION)


def test_any_version_will_do(service, identity):
    token = service.token()
    assert service.request("GET", "/2021-07-15/meta-data/instance-id", **{TOKEN: token}) == (200, identity.id)


def test_directories_list_what_is_in_them(service):
    names = service.read("meta-data/").split("\n")
    assert {"instance-id", "placement/", "iam/", "tags/"} <= set(names)
    assert service.read("meta-data/iam/security-credentials/") == "carried"


@pytest.mark.parametrize(
    "path", ["/latest/meta-data/no-such", "/latest/meta-data/instance-id/x", "/", "/../etc/passwd"]
)
def test_where_nothing_is(service, path):
    assert service.request("GET", path, **{TOKEN: service.token()})[0] == 404


def test_no_tags_unless_switched_on(service, identity):
    identity.options.instance_metadata_tags = "disabled"
    assert service.request("GET", "/latest/meta-data/tags/instance/", **{TOKEN: service.token()})[0] == 404


def test_a_head_request_has_no_body(service):
    assert service.request("HEAD", "/latest/meta-data/instance-id", **{TOKEN: service.token()}) == (200, "")


def test_the_profile_and_the_credentials_of_its_role(service, identity):
    info = json.loads(service.read("meta-data/iam/info"))
    assert info["Code"] == "Success"
    assert info["InstanceProfileArn"] == f"arn:aws:iam::{ACCOUNT}:instance-profile/carrier"
    given = json.loads(service.read("meta-data/iam/security-credentials/carried"))
    assert (given["Code"], given["Type"]) == ("Success", "AWS-HMAC")
    who = boto3.client(
        "sts",
        REGION,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
    ).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/carried/{identity.id}"


def test_botocore_gets_the_credentials(service):
    fetched = InstanceMetadataFetcher(base_url=service.endpoint + "/", num_attempts=1).retrieve_iam_role_credentials()
    assert fetched["role_name"] == "carried"
    assert datetime.datetime.fromisoformat(fetched["expiry_time"]) > datetime.datetime.now(datetime.UTC)


def test_no_role_no_credentials(service, identity, iam):
    change_role(iam, None)
    assert identity.role is None
    assert service.request("GET", "/latest/meta-data/iam/info", **{TOKEN: service.token()})[0] == 404


def test_credentials_are_kept_and_renewed_before_they_end(identity):
    credentials, start = RoleCredentials(identity), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    first = credentials.current(identity.role, start)
    assert first.expires - start == datetime.timedelta(seconds=credentials_module.LIFETIME)
    still = start + datetime.timedelta(seconds=credentials_module.LIFETIME - credentials_module.RENEW_BEFORE_END - 1)
    assert credentials.current(identity.role, still) is first
    renewed = credentials.current(identity.role, still + datetime.timedelta(seconds=1))
    assert renewed.access_key != first.access_key
    assert renewed.expires > first.expires


def test_credentials_of_another_role_are_made_at_once(identity, iam):
    credentials = RoleCredentials(identity)
    before = credentials.current(identity.role)
    change_role(iam, "other")
    after = credentials.current(identity.role)
    assert after.access_key != before.access_key
    assert after.role_arn.endswith("role/other")


def test_credentials_show_no_secret(identity):
    credentials = RoleCredentials(identity).current(identity.role)
    assert credentials.secret_key not in repr(credentials)
    assert credentials.token not in repr(credentials)
