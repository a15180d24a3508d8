# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's certificates: made once, kept, renewed, and good for a strict client."""

from __future__ import annotations

import datetime
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from ansible_collections.policyproof.ecr.lab import certificates
from cryptography import x509

HOST = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com"


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    authority = certificates.authority(tmp_path / "new")
    server = certificates.server(tmp_path / "new", authority, HOST)
    assert {stat.S_IMODE(file.key.stat().st_mode) for file in (authority, server)} == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert list((tmp_path / "new").glob("*.partial")) == []


def test_valid_files_are_used_again(tmp_path: Path) -> None:
    authority = certificates.authority(tmp_path)
    server = certificates.server(tmp_path, authority, HOST)
    before = [file.read_bytes() for file in (authority.certificate, authority.key, server.certificate, server.key)]
    assert certificates.server(tmp_path, certificates.authority(tmp_path), HOST) == server
    after = [file.read_bytes() for file in (authority.certificate, authority.key, server.certificate, server.key)]
    assert after == before


@pytest.mark.parametrize("damage", ["missing key", "other key", "no PEM", "other host", "other authority", "expired"])
def test_files_that_are_no_good_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    if damage == "expired":
        with monkeypatch.context() as patch:
            patch.setattr(certificates, "LIFETIME", datetime.timedelta(days=6))
            old = certificates.server(tmp_path, certificates.authority(tmp_path), HOST)
    else:
        old = certificates.server(tmp_path, certificates.authority(tmp_path), HOST)
    before = old.certificate.read_bytes()
    host = HOST
    if damage == "missing key":
        old.key.unlink()
    elif damage == "other key":
        old.key.write_bytes((tmp_path / "ca.key").read_bytes())
    elif damage == "no PEM":
        old.certificate.write_text("nothing")
    elif damage == "other host":
        host = "elsewhere.invalid"
    elif damage == "other authority":
        (tmp_path / "ca.pem").unlink()
    authority = certificates.authority(tmp_path)
    new = certificates.server(tmp_path, authority, host)
    assert new.certificate.read_bytes() != before
    _shake_hands(new, authority.certificate, host)


def test_a_strict_client_trusts_it_for_its_name_only(tmp_path: Path) -> None:
    authority = certificates.authority(tmp_path)
    server = certificates.server(tmp_path, authority, HOST)
    _shake_hands(server, authority.certificate, HOST)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _shake_hands(server, authority.certificate, "elsewhere.invalid")
    stranger = certificates.authority(tmp_path / "stranger", "stranger")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
        _shake_hands(server, stranger.certificate, HOST)


def test_a_client_whose_clock_is_behind_finds_it_valid(tmp_path: Path) -> None:
    authority = certificates.authority(tmp_path)
    certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    behind = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=20)
    assert certificate.not_valid_before_utc < behind


def _shake_hands(server: certificates.Certificate, ca: Path, host: str) -> None:
    """Raises what the client raises."""
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)

    def serve() -> None:
        try:
            with context.wrap_socket(ours, server_side=True) as connection:
                connection.recv(1)
        except OSError:
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client = ssl.create_default_context(cafile=str(ca))
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        with client.wrap_socket(theirs, server_hostname=host):
            pass
    finally:
        theirs.close()
        thread.join(5)
