# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong with an attempt without anybody having said no: each fault with its cause and its remedy.

A fault makes the outcome ``error``. Only `Refused` makes it ``denied``, and only with AWS's own sentence or AWS's own
error code in hand. ``docs/faults.md`` is this table for people.
"""

from __future__ import annotations

from typing import Dict, NamedTuple

from ..ecr.denials import Denial


class FaultKind(NamedTuple):
    """One row of the table.

    :ivar cause: sentence; may name values in braces
    :ivar remedy: sentence that says what to do
    """

    cause: str
    remedy: str


FAULTS = {
    "dns_failure": FaultKind(
        "The name {host} cannot be resolved.",
        "Check the host name and this host's resolver; in a private subnet, that the VPC endpoint has private DNS.",
    ),
    "connection_refused": FaultKind(
        "Nothing accepts connections at {host}.",
        "Check host, port and the route to it: VPC endpoint or NAT, security group, proxy settings.",
    ),
    "unreachable": FaultKind(
        "There is no way to {host} from here: {detail}.",
        "Check the route to it: VPC endpoint or NAT, security group, network ACL.",
    ),
    "connection_reset": FaultKind(
        "{host} dropped the connection in the middle of an exchange.",
        "Try again; if it lasts, look for a proxy or firewall between this host and {host}.",
    ),
    "timed_out": FaultKind(
        "{step} did not end within the {seconds} seconds allowed.",
        "Look for what does not answer, or allow more with the option timeout.",
    ),
    "throttled": FaultKind(
        "{host} answers 429: too many requests.",
        "Try again later, or attempt with fewer hosts at once.",
    ),
    "server_failing": FaultKind(
        "{host} fails to answer: HTTP {status}, again and again.",
        "Try again later; if it lasts, see the AWS Health Dashboard, or the proxy in between.",
    ),
    "foreign_answer": FaultKind(
        "What answers at {host} is not the registry: HTTP {status} with {detail}.",
        "Look for a proxy between this host and {host}, and let {host} pass it.",
    ),
    "refused_without_reason": FaultKind(
        "HTTP {status} without ECR's own reason for {step}: this may be a proxy, so it is no denial.",
        "Ask from this host with curl -v what answers at {host}, and let {host} pass the proxy.",
    ),
    "refused_by_registry": FaultKind(
        "The registry refused {step}, but for no policy: {detail}.",
        "See that message; a scan, a quota or a registry setting stands behind it, not a permission.",
    ),
    "refusal_unconfirmed": FaultKind(
        "{engine} was refused without a reason, but the registry, asked itself, would have allowed it.",
        "Look for what stands between {engine} and {host}: its login, a proxy, a mirror, an authorization plugin.",
    ),
    "garbled_answer": FaultKind(
        "{host} sent an answer that ends too early or is no JSON.",
        "Try again; if it lasts, look for a proxy that cuts answers short.",
    ),
    "digest_mismatch": FaultKind(
        "{host} sent or stored content whose digest is not what it should be.",
        "Do not trust this image; look for a proxy or mirror that changes content.",
    ),
    "redirect_loop": FaultKind(
        "{host} redirects in a circle.",
        "Look for a proxy that rewrites addresses, and let {host} and the S3 layer bucket pass it.",
    ),
    "token_expired": FaultKind(
        "The registry says that the authorization token has expired.",
        "Run again; if it lasts, check this host's clock.",
    ),
    "not_logged_in": FaultKind(
        "The registry does not take the login: {detail}.",
        "This is a failed login, no denial: check that the login is for this registry, account and region.",
    ),
    "tls_name": FaultKind(
        "The certificate of {host} is for another name.",
        "Check the host name, and for a proxy that answers in its place.",
    ),
    "tls_unknown_ca": FaultKind(
        "The certificate of {host} is by an authority that this host does not know.",
        "Add the authority to this host's trust store, or name its file with the option ca_file.",
    ),
    "tls_failure": FaultKind(
        "No TLS with {host}: {detail}.",
        "Check the certificate, this host's clock, and for a proxy in between.",
    ),
    "no_credentials": FaultKind(
        "This host has no AWS credentials.",
        "Give it an instance profile, and let the instance metadata service answer: enabled, hop limit 1 or more.",
    ),
    "credentials_refused": FaultKind(
        "AWS does not know or no longer takes this host's credentials: {detail}.",
        "Renew them; on an instance, look at the role that the instance profile names.",
    ),
    "clock_wrong": FaultKind(
        "AWS refuses the signature's time: this host's clock is wrong.",
        "Set the clock (chronyd or systemd-timesyncd), then run again.",
    ),
    "token_failed": FaultKind(
        "No authorization token from the ECR API: {detail}.",
        "Check that this host reaches the ECR API: VPC endpoint ecr.api or NAT, endpoint_url, region.",
    ),
    "no_region": FaultKind(
        "The region is not known.",
        "Set the option region, AWS_REGION, or a repository URI of ECR, which names it.",
    ),
    "no_aws_client": FaultKind(
        "This host has neither botocore, for {python}, nor the aws command.",
        "Install python3-boto3 or the AWS CLI on it.",
    ),
    "credential_store": FaultKind(
        "{engine} cannot store the login: {detail}.",
        "Repair or remove the credential helper that its configuration names.",
    ),
    "engine_missing": FaultKind(
        "There is no {engine} on this host.",
        "Install it, or use engine: registry, which needs none.",
    ),
    "engine_not_running": FaultKind(
        "{engine} is installed, but its daemon does not answer.",
        "Start it, such as with systemctl start docker.",
    ),
    "engine_not_permitted": FaultKind(
        "The user {user} may not use {engine}.",
        "Run with become: true, or add the user to the group that owns the socket.",
    ),
    "engine_died": FaultKind(
        "{engine} ended in the middle of the attempt.",
        "See its log; it was killed, restarted or ran out of memory.",
    ),
    "disk_full": FaultKind(
        "There is no space left on this host's disk.",
        "Free some space where {engine} keeps its images.",
    ),
    "repository_missing": FaultKind(
        "The repository does not exist: {detail}.",
        "Create it, or correct the repository's name, account or region.",
    ),
    "tag_immutable": FaultKind(
        "The tag exists already, and the repository's tags are immutable.",
        "Choose another tag, or none: each attempt then takes a new one.",
    ),
    "too_large": FaultKind(
        "The registry takes no upload of this size: {detail}.",
        "Look for a limit of a proxy, or of the account's quotas.",
    ),
    "private_place": FaultKind(
        "No private place for the login: {detail}.",
        "Remove what stands there, or let the user write there.",
    ),
    "unexpected": FaultKind(
        "{engine} failed: {detail}.",
        "See messages for the client's own words.",
    ),
}


class _Values(Dict[str, str]):
    """Values for a sentence; what is not known is called so."""

    def __missing__(self, key: str) -> str:
        return {"host": "the registry", "engine": "the client", "step": "the attempt"}.get(key, "unknown")


class Fault(Exception):
    """Something went wrong and nobody said no.

    :ivar kind: key of `FAULTS`
    :ivar values: what stands in the braces
    """

    def __init__(self, kind: str, **values: object) -> None:
        super().__init__(kind)
        self.kind = kind
        self.values = values

    @property
    def cause(self) -> str:
        """What happened, a sentence."""
        return _sentence(FAULTS[self.kind].cause, self.values)

    @property
    def remedy(self) -> str:
        """What to do, a sentence."""
        return _sentence(FAULTS[self.kind].remedy, self.values)

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}"

    def known(self, **values: object) -> Fault:
        """The same fault, with values filled in where it had none."""
        for name, value in values.items():
            self.values.setdefault(name, value)
        return self


class Refused(Exception):
    """The service itself said no.

    :ivar denial: what it said
    """

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.message)
        self.denial = denial


class SilentlyRefused(Exception):
    """HTTP 403 without a reason, to a request whose answers have no body.

    :ivar api_action: what the request needs
    """

    def __init__(self, api_action: str) -> None:
        super().__init__(api_action)
        self.api_action = api_action


def _sentence(template: str, values: dict[str, object]) -> str:
    said = {name: str(value).strip().rstrip(".") for name, value in values.items()}
    text = template.format_map(_Values(said))
    return text[0].upper() + text[1:]
