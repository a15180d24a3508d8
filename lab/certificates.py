# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's certificate authority, and the registry's certificate."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=7)
_CLOCKS_OFF = datetime.timedelta(hours=1)
"""How far a client's clock may be behind without finding the certificates not yet valid."""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files in PEM."""

    certificate: Path
    key: Path


def authority(directory: Path, name: str = "policyproof lab CA") -> Certificate:
    """The certificate authority kept in a directory; made if there is none, or it ends within a week.

    :arg directory: mode 0700; keys in it have mode 0600
    """
    files = Certificate(directory / "ca.pem", directory / "ca.key")
    if not _usable(files, None, None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        _write(files, builder.sign(key, hashes.SHA256()), key)
    return files


def server(directory: Path, issuer: Certificate, host: str, file_name: str = "registry") -> Certificate:
    """A server's certificate for one host name, by the given authority; reused while it is valid and the CA's."""
    files = Certificate(directory / f"{file_name}.pem", directory / f"{file_name}.key")
    ca = x509.load_pem_x509_certificate(issuer.certificate.read_bytes())
    if not _usable(files, ca, host):
        ca_key = serialization.load_pem_private_key(issuer.key.read_bytes(), None)
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{issuer.key} holds no elliptic-curve key.")
        key = ec.generate_private_key(ec.SECP256R1())
        # Common names end at 64 characters; the name that counts is the alternative one.
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        builder = _builder(subject, ca.subject, key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        builder = builder.add_extension(issuer_id, critical=False)
        _write(files, builder.sign(ca_key, hashes.SHA256()), key)
    return files


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_OFF)
        .not_valid_after(now + LIFETIME)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _usable(files: Certificate, ca: x509.Certificate | None, host: str | None) -> bool:
    """Whether the files are there, belong together, and are still good for what they are for."""
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = serialization.load_pem_private_key(files.key.read_bytes(), None)
        if ca is not None:
            certificate.verify_directly_issued_by(ca)
        if host is not None:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            if host not in names.get_values_for_type(x509.DNSName):
                return False
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    now = datetime.datetime.now(datetime.UTC)
    in_time = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE
    return in_time and certificate.public_key() == key.public_key()


def _write(files: Certificate, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    files.certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _replace(files.key, pem, 0o600)
    _replace(files.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    partial = path.with_name(path.name + ".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    partial.replace(path)
