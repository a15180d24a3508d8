# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as one HTML page that needs nothing else: no script, no font, no picture. Pure, but for Jinja2."""

from __future__ import annotations

from collections.abc import Sequence

from .verdicts import PROVEN, UNPROVEN, VIOLATED, Row

MARKS = {PROVEN: "✓", VIOLATED: "✗", UNPROVEN: "?"}

# Verdicts are told apart by mark and word first, by colour second: the page is printed and read by the colour-blind.
TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ headline }} · access to {{ repository }}</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #fff; --line: #d1d9e0; --shade: #f6f8fa;
  --proven: #116329; --violated: #a40e26; --unproven: #7d4e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --paper: #0d1117; --line: #3d444d;
  --shade: #151b23; --proven: #56d364; --violated: #ff8182; --unproven: #e3b341; } }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
.soft { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: 1.5rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem; }
th, td { text-align: left; padding: .5rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { background: var(--shade); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; }
.verdict { font-weight: 600; white-space: nowrap; }
.proven { color: var(--proven); } .violated { color: var(--violated); } .unproven { color: var(--unproven); }
blockquote { margin: .25rem 0 1rem; padding: .5rem .75rem; border-left: 3px solid var(--line); background: var(--shade);
  font: .85rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.note { border-left: 3px solid var(--unproven); padding-left: .75rem; margin: .5rem 0 0; }
@media (max-width: 44rem) { thead { display: none; } tr { display: block; padding: .75rem 0;
  border-bottom: 1px solid var(--line); } tbody th, td { display: block; border: 0; padding: .1rem 0; }
  td[data-name]::before { content: attr(data-name) " "; color: var(--soft); } }
@media print { body { max-width: none; padding: 0; } }
</style>
</head>
<body>
<main>
<h1>{{ headline }}</h1>
<p class="soft">Who may push to and pull from <strong>{{ repository }}</strong>, tried on {{ generated }}</p>
<div class="scroll">
<table>
<caption>Expected comes from the access matrix, simulated from the policies, observed from real attempts.</caption>
<thead>
<tr><th scope="col">Principal</th><th scope="col">Action</th><th scope="col">Expected</th><th scope="col">Simulated</th>
<th scope="col">Observed</th><th scope="col">Verdict</th><th scope="col">Why</th></tr>
</thead>
<tbody>
{% for row in rows %}
<tr><th scope="row">{{ row.principal }}</th><td>{{ row.action }}</td><td data-name="expected">{{ row.expected }}</td>
<td data-name="simulated">{{ row.simulated or "–" }}</td><td data-name="observed">{{ row.observed }}</td>
<td class="verdict {{ row.verdict }}">{{ marks[row.verdict] }} {{ row.verdict }}</td>
<td>{{ row.why }}{% if row.differs %}<p class="note">{{ row.differs }}</p>{% endif %}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% if wrong %}
<h2>What to look at</h2>
<ul>
{% for row in wrong %}
<li>{{ row.sentence }}</li>
{% endfor %}
</ul>
{% endif %}
{% if told %}
<h2>What the service said</h2>
{% for row in told %}
<section>
<p class="soft">{{ row.principal }} {{ row.action }}</p>
<blockquote>{{ row.denial.message }}</blockquote>
</section>
{% endfor %}
{% endif %}
</main>
</body>
</html>
"""


def page(rows: Sequence[Row], repository: str, generated: str) -> str:
    """The whole page. ``generated`` is ISO 8601, UTC. Raises ImportError where Jinja2 is missing."""
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(TEMPLATE)
    return template.render(
        rows=rows,
        repository=repository,
        generated=generated,
        headline=headline(rows),
        marks=MARKS,
        told=[row for row in rows if row.denial and row.denial["message"]],
        wrong=[row for row in rows if row.verdict != PROVEN or row.differs],
    )


def headline(rows: Sequence[Row]) -> str:
    """The result in a few words: ``6 of 6 proven``, or what is not."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in MARKS}
    wrong = [f"{counts[verdict]} {verdict}" for verdict in (VIOLATED, UNPROVEN) if counts[verdict]]
    return ", ".join([f"{counts[PROVEN]} of {len(rows)} proven", *wrong])
