"""The switches between data sets, conventions and judges, and what is shown of each cell."""

from __future__ import annotations

from collections.abc import Sequence

from affectbench.report.html.markup import Markup, tag
from affectbench.results.views import ALL_JUDGES, View


def switches(views: Sequence[View]) -> Markup:
    """A group of radio buttons for each thing that a run has several of; hidden without script."""
    groups = [
        _group("dataset", "Data set", [view.dataset for view in views]),
        _group("convention", "Convention", [view.convention for view in views]),
        _group("judge", "Judge", [view.judge for view in views]),
    ]
    rows = [row for view in views for row in view.frame.rows]
    shown = [value for row in rows for value in row.values.values() if value.is_known]
    with_intervals = any(value.interval for value in shown)
    details = _details(str(views[0].frame.run.settings["versus"])) if with_intervals else None
    return tag("form", groups, details, class_="switches", hidden=True)


def _group(name: str, title: str, values: Sequence[str]) -> Markup | None:
    several = list(dict.fromkeys(values))
    if len(several) < 2:
        return None
    buttons = [
        tag(
            "label",
            tag("input", type="radio", name=name, value=value, checked=index == 0),
            tag("span", "all side by side" if value == ALL_JUDGES else value),
        )
        for index, value in enumerate(several)
    ]
    return tag("fieldset", tag("legend", title), tag("div", buttons, class_="segments"))


def _details(versus: str) -> Markup:
    boxes = [
        tag(
            "label",
            tag("input", type="checkbox", name=name, checked=checked),
            tag("span", text),
            class_="check",
        )
        for name, text, checked in (
            ("intervals", "95 % intervals", True),
            ("tests", f"Paired tests against {versus}", False),
        )
    ]
    return tag("fieldset", tag("legend", "Show"), tag("div", boxes, class_="checks"))
