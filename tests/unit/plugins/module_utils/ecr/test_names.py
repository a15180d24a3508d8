# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.policyproof.ecr.plugins.module_utils.ecr import names

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize("name", ["fa-085", "a/b", "team/app_1.x", "1a", "x" * 256])
def test_names_ecr_takes(name: str) -> None:
    assert names.repository_name_fault(name) is None


@pytest.mark.parametrize(
    "name", ["", "a", "x" * 257, "Upper", "-a", "a-", "a--b", "a__b", "a//b", "/ab", "ab/", "a b", "ab\n", "é1"]
)
def test_names_ecr_refuses_are_named_in_the_sentence(name: str) -> None:
    fault = names.repository_name_fault(name)
    assert fault is not None and repr(name) in fault and fault.endswith(".")


def test_a_repository_uri_of_ecr_tells_account_and_region() -> None:
    repository = names.parse_repository("123456789012.dkr.ecr.ap-northeast-1.amazonaws.com:5443/team/app")
    assert repository.registry == "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com:5443"
    assert (repository.host, repository.port) == ("123456789012.dkr.ecr.ap-northeast-1.amazonaws.com", 5443)
    assert (repository.name, repository.account, repository.region) == ("team/app", "123456789012", "ap-northeast-1")
    assert str(repository) == "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com:5443/team/app"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
    ],
)
def test_other_partitions_and_endpoints_are_ecr_too(host: str, region: str) -> None:
    repository = names.parse_repository(f"{host}/app")
    assert (repository.region, repository.port) == (region, 443)


def test_another_registry_has_no_account() -> None:
    repository = names.parse_repository("localhost:5000/app")
    assert (repository.account, repository.region, repository.port) == (None, None, 5000)


@pytest.mark.parametrize(
    "uri",
    ["app", "team/app", "host.example/", "host.example:0/app", "host.example:x/app", "https://h.example/app", "h.e/A"],
)
def test_what_is_no_repository_uri_is_refused_by_name(uri: str) -> None:
    with pytest.raises(names.InvalidName, match=r"'"):
        names.parse_repository(uri)


@pytest.mark.parametrize("tag", ["probe-1", "_x", "v1.0", "x" * 128])
def test_tags(tag: str) -> None:
    assert names.tag_fault(tag) is None
    assert names.reference_fault(tag) is None


@pytest.mark.parametrize("tag", ["", ".x", "-x", "x" * 129, "a b", "a/b", "x\n"])
def test_tags_refused(tag: str) -> None:
    fault = names.tag_fault(tag)
    assert fault is not None and repr(tag) in fault


def test_digests() -> None:
    assert names.is_digest(DIGEST)
    assert names.reference_fault(DIGEST) is None
    for wrong in (DIGEST[:-1], DIGEST.upper(), DIGEST + "\n", "md5:" + "a" * 32):
        assert not names.is_digest(wrong)
        assert names.reference_fault(wrong) is not None
