# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import gzip
import io
import json
import tarfile

from ansible_collections.policyproof.ecr.plugins.module_utils.registry.image import LABEL, ProbeImage, digest_of


def test_an_image_is_a_few_hundred_bytes() -> None:
    assert ProbeImage().size < 1500


def test_no_two_images_share_anything() -> None:
    one, other = ProbeImage(), ProbeImage()
    assert not {one.layer, one.config, one.manifest} & {other.layer, other.config, other.manifest}


def test_the_same_seed_makes_the_same_image() -> None:
    assert ProbeImage(b"x").digest == ProbeImage(b"x").digest


def test_manifest_configuration_and_layer_hold_together() -> None:
    image = ProbeImage()
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    assert manifest["config"]["digest"] == digest_of(image.config)
    assert manifest["config"]["size"] == len(image.config)
    assert [layer["digest"] for layer in manifest["layers"]] == [digest_of(image.layer)]
    assert config["rootfs"]["diff_ids"] == [digest_of(gzip.decompress(image.layer))]
    assert config["config"]["Labels"] == {LABEL: "1"}
    assert image.digest == digest_of(image.manifest)


def test_the_archive_is_what_docker_load_takes() -> None:
    image = ProbeImage()
    with tarfile.open(fileobj=io.BytesIO(image.archive("h.example/app:t"))) as archive:
        held = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    (entry,) = json.loads(held["manifest.json"])
    assert entry["RepoTags"] == ["h.example/app:t"]
    assert held[entry["Config"]] == image.config
    assert entry["Config"] == digest_of(image.config)[len("sha256:") :] + ".json"
    (layer,) = entry["Layers"]
    assert digest_of(held[layer]) == json.loads(image.config)["rootfs"]["diff_ids"][0]
