"""How a row gets into the leaderboards."""

from __future__ import annotations

from affectbench.report.html.markup import Markup, tag

_COMMANDS = """\
affectbench datasets verify celeba faces/celeba
affectbench compare --models bicubic,checkpoint:mine.safetensors --datasets celeba \\
    --data-root faces --judges panel --out mine
affectbench leaderboard check
"""
"""Those of CONTRIBUTING.md; `panel` is `affectbench.judges.catalogue.BUNDLED`."""


def submit_section() -> Markup:
    """The steps, and what the labels mean."""
    steps = (
        "Check that your faces are those of the board, pixel for pixel: the first command.",
        "Run your model under the board's protocol: the second. It writes a record for each cell "
        "(JSON) and the per-image values behind it (Parquet); no picture is part of either.",
        "Declare what it was trained on and which networks its losses used (trained_on and "
        "trained_against of the model's spec): such cells are marked and not ranked.",
        "Copy the new files of mine/records and mine/images into the board's folder, add their "
        "names to the cells of its run.json, run affectbench leaderboard build and then "
        "affectbench leaderboard check, and open a pull request. The check recomputes every "
        "aggregate from the per-image values, and every id from the cell's content.",
    )
    labels = (
        "Reproducible: the record holds the SHA-256 of weights that anybody can get and run; "
        "maintainers run seeded faces of the row again, from the weights to the metric.",
        "Self-reported: a folder of results, or weights that are not public. The per-image values "
        "are checked, where they come from is not.",
    )
    return tag(
        "section",
        tag("h2", "Submit a row"),
        tag("ol", [tag("li", step) for step in steps], class_="steps"),
        tag("pre", tag("code", _COMMANDS), class_="command", tabindex=0),
        tag("h3", "Two kinds of rows"),
        tag("ul", [tag("li", label) for label in labels]),
        id="submit",
        aria_label="Submit a row",
    )
