# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a request to an AWS API was signed, by whom, and when: Signature Version 4.

Source: "AWS Signature Version 4 for API requests" (AWS General Reference) for the method and its five minutes;
"Common errors" of the ECR and STS API references for the answers.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Signer

from .callers import Caller, credentials_of, expired

TOLERANCE = datetime.timedelta(minutes=5)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request\s*,\s*SignedHeaders=(?P<headers>[^,\s]+)\s*,\s*Signature=(?P<signature>[0-9a-f]{64})\s*\Z"
)
_INVALID_TOKEN = "The security token included in the request is invalid."
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


class SignatureRefused(Exception):
    """The request is not signed as it must be.

    :ivar code: the error's code in services with JSON; those with XML have other words for some (`query_code`)
    :ivar message: the service's sentence
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def query_code(self) -> str:
        """The code in services that answer in XML, such as STS."""
        return {
            "UnrecognizedClientException": "InvalidClientTokenId",
            "InvalidSignatureException": "SignatureDoesNotMatch",
            "ExpiredTokenException": "ExpiredToken",
            "IncompleteSignatureException": "IncompleteSignature",
            "MissingAuthenticationTokenException": "MissingAuthenticationToken",
        }[self.code]


@dataclass(frozen=True)
class Request:
    """An HTTP request, as far as signatures go.

    :ivar path: percent-encoded, as sent
    :ivar headers: names in lower case
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def signed_service(authorization: str) -> str | None:
    """The service a request was signed for, in lower case; None if the header is none of Signature Version 4."""
    match = _AUTHORIZATION.match(authorization)
    return match["service"].lower() if match else None


def access_key_of(authorization: str) -> str | None:
    """The access key a request says it was signed with, verified or not."""
    match = _AUTHORIZATION.match(authorization)
    return match["key"] if match else None


def verify(request: Request, now: datetime.datetime) -> Caller:
    """Say who signed the request.

    :arg now: the service's clock, aware
    :raises SignatureRefused: if nobody did whom the lab knows, or not as it must be, or not now
    """
    authorization = request.headers.get("authorization")
    if not authorization:
        raise SignatureRefused("MissingAuthenticationTokenException", "Missing Authentication Token")
    parts = _AUTHORIZATION.match(authorization)
    if parts is None:
        raise SignatureRefused(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters of "
            "AWS4-HMAC-SHA256.",
        )
    credentials = credentials_of(parts["key"])
    if credentials is None:
        raise SignatureRefused("UnrecognizedClientException", _INVALID_TOKEN)
    if request.headers.get("x-amz-security-token") != credentials.session_token:
        raise SignatureRefused("UnrecognizedClientException", _INVALID_TOKEN)
    stamp = _checked_time(request, parts["date"], now)
    if expired(credentials, now):
        raise SignatureRefused("ExpiredTokenException", "The security token included in the request is expired")
    signer = Signer(credentials.access_key, credentials.secret_key, credentials.session_token)
    if not hmac.compare_digest(_signature(request, parts, stamp, signer), parts["signature"]):
        raise SignatureRefused("InvalidSignatureException", _MISMATCH)
    return credentials.caller


def _checked_time(request: Request, date: str, now: datetime.datetime) -> str:
    """``X-Amz-Date``, which must be within five minutes of the service's clock. Raises SignatureRefused."""
    stamp = request.headers.get("x-amz-date", "")
    try:
        signed = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise SignatureRefused(
            "IncompleteSignatureException", f"Date must be in ISO-8601 'basic format'. Got '{stamp}'."
        ) from None
    if not stamp.startswith(date):
        raise SignatureRefused("InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD.")
    if signed < now - TOLERANCE:
        raise SignatureRefused(
            "InvalidSignatureException",
            f"Signature expired: {stamp} is now earlier than {_stamp(now - TOLERANCE)} ({_stamp(now)} - 5 min.)",
        )
    if signed > now + TOLERANCE:
        raise SignatureRefused(
            "InvalidSignatureException",
            f"Signature not yet current: {stamp} is still later than {_stamp(now + TOLERANCE)} "
            f"({_stamp(now)} + 5 min.)",
        )
    return stamp


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def _signature(request: Request, parts: re.Match[str], stamp: str, signer: Signer) -> str:
    """The signature that the request should carry, made by botocore's own signer."""
    signed = parts["headers"].split(";")
    claimed = request.headers.get("x-amz-content-sha256")
    if claimed not in (None, "UNSIGNED-PAYLOAD", hashlib.sha256(request.body).hexdigest()):
        raise SignatureRefused("InvalidSignatureException", _MISMATCH)
    again = AWSRequest(
        method=request.method,
        # The host is taken from the signed headers; what stands here only says "not https: the payload is signed".
        url=f"http://signed.invalid{request.path}" + (f"?{request.query}" if request.query else ""),
        headers={name: request.headers.get(name, "") for name in signed},
        data=request.body,
    )
    again.context["timestamp"] = stamp
    auth = SigV4Auth(signer, parts["service"], parts["region"])
    signature: str = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    return signature
