"""A report as one HTML page: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medmint.model_evaluator.rows import Picture, table_rows

if TYPE_CHECKING:
    from medmint.model_evaluator.report import Report

#: Faults that are findings, and how metrics begin that would show them.
_SIGNS = {
    "Missing variety": ("recall", "coverage", "ms_ssim_of_pairs"),
    "Copies": ("copied_share",),
}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: 13px; }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid #8884; }
td { font-variant-numeric: tabular-nums; }
td:nth-child(-n+4) { white-space: nowrap; }
.wide { overflow-x: auto; }
.findings li { color: #b3261e; } .fine { color: #1b6e3c; }
@media (prefers-color-scheme: dark) { .findings li { color: #ffb4ab; } .fine { color: #7bd99b; } }
figure { margin: 1rem 0 2rem; } img { max-width: 100%; background: #fff; }
figcaption { font-size: 13px; opacity: .8; max-width: 60rem; }
pre { font-size: 12px; overflow-x: auto; background: #8881; padding: .8rem; }
"""


def render(report: Report) -> str:
    """Return the page of a report."""
    title = f"medmint evaluation: {report.subject}"
    body = [f"<h1>{html.escape(title)}</h1>"]
    if report.findings:
        body.append(_list("Findings", report.findings, "findings"))
    elif report.rows:
        body.append(f'<p class="fine">{_nothing_found(report)}</p>')
    body.append("<h2>Numbers</h2>")
    body.append(table(table_rows(report.rows)))
    body.append(
        "<p>N is the number of images in each set. Values at N/2 are those to compare with the "
        "real-real value: small sets are biased, so both are taken at one size.</p>"
    )
    body.append(_list("Before believing a number", report.warnings))
    failed = [f"{name}: {reason}" for name, reason in report.failures.items()]
    body.append(_list("What could not be computed", failed))
    body += [figure(picture) for picture in report.pictures]
    body.append("<h2>What the numbers depend on</h2>")
    facts = json.dumps(report.to_dict()["provenance"], indent=1)
    body.append(f"<pre>{html.escape(facts)}</pre>")
    return page(title, body)


def _nothing_found(report: Report) -> str:
    """Say what was looked for without a finding, and what was not looked for."""
    measured = [row.metric for row in report.rows]
    known = {fault: any(m.startswith(signs) for m in measured) for fault, signs in _SIGNS.items()}
    return " ".join(f"{f}: {'none found' if k else 'not looked for'}." for f, k in known.items())


def page(title: str, body: Sequence[str]) -> str:
    """Return a whole page around its parts."""
    head = f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{head}</head>\n<body>\n" + "\n".join(filter(None, body)) + "\n</body></html>\n"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as an HTML table."""
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    lines = [
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row.values()) + "</tr>"
        for row in rows
    ]
    return f'<div class="wide"><table><tr>{head}</tr>\n' + "\n".join(lines) + "\n</table></div>"


def figure(picture: Picture) -> str:
    """Return a picture with its caption, the bytes inside the page."""
    data = base64.b64encode(picture.png).decode("ascii")
    caption = html.escape(picture.caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _list(title: str, lines: Sequence[str], css: str = "") -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<h2>{html.escape(title)}</h2><ul class="{css}">{items}</ul>'
