# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Expected, simulated and observed side by side, and the verdict of each cell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .matrix import Cell

OUTCOMES = ("allowed", "denied", "error")
PROVEN, VIOLATED, UNPROVEN = "proven", "violated", "unproven"
EXPECTED_OUTCOME = {"allow": "allowed", "deny": "denied"}
DENIAL_KEYS = ("api_action", "policy_type", "explicit", "statement", "message")


class ResultFault(ValueError):
    """An observation that is none, in one sentence."""


@dataclass(frozen=True)
class Row:
    """One cell of the report.

    :ivar expected: allow or deny
    :ivar simulated: allow, deny, or None where nothing was simulated
    :ivar observed: allowed, denied or error
    :ivar verdict: proven, violated or unproven
    :ivar duration_s: seconds the attempt took, None where there was none
    :ivar denial: the five keys of ``access.json``, or None
    :ivar why: the reason in a few words
    :ivar differs: what simulated and observed being different means, or None where they agree
    :ivar explanation: why the simulation decided as it did, or None
    """

    principal: str
    action: str
    expected: str
    simulated: str | None
    observed: str
    verdict: str
    duration_s: float | None
    denial: dict[str, Any] | None
    why: str
    differs: str | None
    explanation: str | None

    def as_dict(self) -> dict[str, Any]:
        """The row as ``access.json`` has it."""
        keys = ("principal", "action", "expected", "simulated", "observed", "verdict", "duration_s", "denial")
        return {key: getattr(self, key) for key in keys}

    @property
    def sentence(self) -> str:
        """The row in a sentence or three, for whoever has to act on it."""
        words = f"{self.principal} {self.action}: expected {self.expected}, observed {self.observed} ({self.why})."
        return " ".join(part for part in (words, self.differs, self.explanation) if part)


def rows(
    cells: Iterable[Cell],
    observations: Mapping[tuple[str, str], Mapping[str, Any]],
    simulations: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[Row]:
    """A row for each cell.

    :param observations: by (principal, action): a result of access_probe. A missing one is an error.
    :param simulations: by (principal, action): a decision of access_simulation
    Raises ResultFault for an outcome that is not one.
    """
    return [_row(cell, observations.get(key(cell)), simulations.get(key(cell))) for cell in cells]


def key(cell: Cell) -> tuple[str, str]:
    """What observations and simulations are kept by."""
    return cell.principal, cell.action


def _row(cell: Cell, observation: Mapping[str, Any] | None, simulation: Mapping[str, Any] | None) -> Row:
    observation = observation or {
        "outcome": "error",
        "error": "nothing was observed: no result came from this principal",
    }
    observed = observation.get("outcome")
    if observed not in OUTCOMES:
        raise ResultFault(
            f"The result for {cell.principal} {cell.action} has the outcome {observed!r}: "
            "it must be allowed, denied or error."
        )
    simulated = simulation.get("effect") if simulation else None
    denial = _denial(observation, simulation) if observed == "denied" else None
    verdict = _verdict(cell.expected, observed)
    return Row(
        principal=cell.principal,
        action=cell.action,
        expected=cell.expected,
        simulated=simulated,
        observed=observed,
        verdict=verdict,
        duration_s=observation.get("duration_s"),
        denial=denial,
        why=_why(observation, denial),
        differs=_difference(simulated, observed),
        explanation=_explanation(verdict, simulation),
    )


def _verdict(expected: str, observed: str) -> str:
    if observed == "error":
        return UNPROVEN
    return PROVEN if observed == EXPECTED_OUTCOME[expected] else VIOLATED


def _denial(observation: Mapping[str, Any], simulation: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the service said; the statement, which it never names, from a simulation that denies for the same reason."""
    said = observation.get("denial") or {}
    denial = {name: said.get(name) for name in DENIAL_KEYS}
    if denial["statement"] is None:
        denial["statement"] = next(
            (one["statement"] for one in _simulated_denials(simulation) if _agree(one, denial)), None
        )
    return denial


def _simulated_denials(simulation: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The API actions of an action that the simulation denies explicitly."""
    decisions = (simulation or {}).get("api_actions") or []
    return [decision for decision in decisions if decision.get("decision") == "explicit_deny"]


def _agree(simulated: Mapping[str, Any], denial: Mapping[str, Any]) -> bool:
    return denial["explicit"] is True and all(
        simulated.get(name) == denial[name] for name in ("api_action", "policy_type")
    )


def _explanation(verdict: str, simulation: Mapping[str, Any] | None) -> str | None:
    """Which statements that deny somebody leave this principal out, for a cell that is not as expected."""
    missed = [
        statement
        for statement in (simulation or {}).get("statements") or []
        if statement["effect"] == "Deny" and not statement["matched"]
    ]
    if verdict != VIOLATED or simulation is None or not missed:
        return None
    who = str(simulation["sentence"]).split("User: ", 1)[-1].partition(" ")[0]
    policies = {"resource-based policy": "Repository policy"}
    return " ".join(
        f"{policies.get(one['policy_type'], str(one['policy_type']).capitalize())} statement {one['statement']} "
        f"does not cover {who}."
        for one in missed
    )


def _difference(simulated: str | None, observed: str) -> str | None:
    if simulated is None or observed == "error" or EXPECTED_OUTCOME[simulated] == observed:
        return None
    return (
        f"The simulation said {simulated}: either the policies were changed since they were read, "
        "or a policy layer is at work that could not be read, or the simulation or the observation is mistaken."
    )


def _why(observation: Mapping[str, Any], denial: Mapping[str, Any] | None) -> str:
    if denial is not None:
        return denial_words(denial)
    if observation["outcome"] == "error":
        said = str(observation.get("error") or "no reason was given").rstrip(".")
        remedy = str(observation.get("remedy") or "").rstrip(".")
        return f"{said}. {remedy}" if remedy else said
    duration = observation.get("duration_s")
    took = "" if duration is None else f" in {duration:.1f} s"
    if observation.get("completed") is False:
        return f"authorized{took}; there was no image to {observation.get('action', 'pull')}"
    digest = str(observation.get("digest") or "")
    return f"{digest[:19]}…{took}" if digest else f"completed{took}"


def denial_words(denial: Mapping[str, Any]) -> str:
    """A denial in a line: ``ecr:PutImage: explicit deny in a resource-based policy, statement Pushers``."""
    action = denial.get("api_action") or "an action the service did not name"
    explicit, policy = denial.get("explicit"), denial.get("policy_type")
    if explicit is None:
        return f"{action}: the service gave no reason"
    article = "an" if str(policy or "unnamed")[0] in "aeiou" else "a"
    where = policy or "unnamed policy"
    reason = f"explicit deny in {article} {where}" if explicit else f"no {where} allows it"
    statement = denial.get("statement")
    return f"{action}: {reason}" + (f", statement {statement}" if statement is not None else "")
