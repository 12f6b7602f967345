"""The report and the site in a real browser: what readers do with them, and who can read them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, fetch_axe, is_there, prefer, resize
from pages import link_board
from report_runs import write_run

from affectbench.cli.main import main
from affectbench.report.html.build import write_report
from affectbench.report.site.build import write_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not is_there(), reason="chromium, its driver or selenium is not there"),
]
WIDTHS = [375, 1440]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two data sets, two judges, two conventions; 20 of 30 faces have pictures."""
    folder = write_run(
        tmp_path_factory.mktemp("run"), datasets=("celeba", "helen"), n=30, images=20
    )
    return write_report(folder).page.as_uri()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of the README's command, faces beside the page."""
    out = tmp_path_factory.mktemp("demo")
    command = ["compare", "--models", "nearest,bicubic,lanczos", "--save-images", "--out", str(out)]
    assert main(command) == 0
    return write_report(out, faces="all").page.as_uri()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of one of the committed leaderboards."""
    root, out = tmp_path_factory.mktemp("boards") / "root", tmp_path_factory.mktemp("site")
    link_board(root)
    write_site(root, out)
    return out


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    script = fetch_axe(tmp_path_factory.mktemp("axe"))
    if script is None:
        pytest.skip("npm or axe-core is not there")
    return script


@pytest.fixture(autouse=True)
def quiet_console(driver: Any) -> Iterator[None]:
    """Nothing that the page does may reach the console."""
    driver.get_log("browser")
    yield
    assert driver.get_log("browser") == []


def opened(driver: Any, address: str, width: int = 1440) -> None:
    resize(driver, width)
    driver.get("about:blank")
    driver.get(address)


def every(driver: Any, selector: str) -> list[Any]:
    return list(driver.find_elements("css selector", selector))


def one(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def shown(driver: Any, selector: str) -> list[Any]:
    return [element for element in every(driver, selector) if element.is_displayed()]


def click(driver: Any, element: Any) -> None:
    """Where it is: `click` of a driver, after the sticky navigation is out of the way."""
    driver.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element
    )
    element.click()


def choose(driver: Any, selector: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(one(driver, selector)).select_by_value(value)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something that comes by itself; whatever it gives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def column(driver: Any, view: Any, index: int) -> list[float]:
    cells = view.find_elements("css selector", f"tbody.models tr > :nth-child({index})")
    return [float(cell.get_attribute("data-value")) for cell in cells]


@pytest.mark.parametrize("width", WIDTHS)
def test_headers_sort_the_models_and_leave_the_anchors(
    driver: Any, report: str, width: int
) -> None:
    opened(driver, report, width)
    view = shown(driver, ".view")[0]
    anchors = [e.text for e in view.find_elements("css selector", "tbody.anchors th")]
    head = view.find_elements("css selector", "thead th")[2]
    button = head.find_element("css selector", "button")
    assert head.get_attribute("aria-sort") is None
    click(driver, button)
    assert head.get_attribute("aria-sort") == "ascending"
    values = column(driver, view, 3)
    assert values == sorted(values)
    button.send_keys(" ")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(driver, view, 3) == sorted(values, reverse=True)
    name = view.find_elements("css selector", "thead th")[0]
    click(driver, name.find_element("css selector", "button"))
    assert head.get_attribute("aria-sort") is None
    names = [e.text for e in view.find_elements("css selector", "tbody.models th")]
    assert names == sorted(names)
    assert anchors == [e.text for e in view.find_elements("css selector", "tbody.anchors th")]


@pytest.mark.parametrize("width", WIDTHS)
def test_switches_show_one_table(driver: Any, report: str, width: int) -> None:
    opened(driver, report, width)
    assert len(shown(driver, ".view")) == 1
    for name, value in (("dataset", "helen"), ("convention", "dic"), ("judge", "face-api")):
        click(driver, one(driver, f"input[name={name}][value={value}]"))
        view = shown(driver, ".view")
        assert len(view) == 1
        assert view[0].get_attribute(f"data-{name}") == value
    assert {p.get_attribute("data-dataset") for p in shown(driver, ".plot")} == {"helen"}
    judges = {p.get_attribute("data-judge") for p in shown(driver, ".plot")}
    assert judges == {"face-api", None}
    click(driver, one(driver, "input[name=judge][value='']"))
    heads = shown(driver, ".view")[0].find_elements("css selector", "thead th")
    assert heads[2].text.startswith("ECM ↓")
    assert heads[3].text.startswith("ECM [face-api] ↓")
    click(driver, one(driver, "input[name=tests]"))
    assert shown(driver, ".test")
    click(driver, one(driver, "input[name=intervals]"))
    assert not shown(driver, ".interval")


def test_tables_are_copied(driver: Any, report: str) -> None:
    opened(driver, report)
    view = shown(driver, ".view")[0]
    buttons = view.find_elements("css selector", "[data-copy]")
    assert [b.get_attribute("data-copy") for b in buttons] == ["csv", "markdown", "latex"]
    read = "navigator.clipboard.readText().then(arguments[0], () => arguments[0](null))"
    driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    starts = ("model,dataset,role", "### celeba", "% Needs in the preamble: ")
    for button, start in zip(buttons, starts, strict=True):
        click(driver, button)
        until(lambda: "Copied" in view.find_element("css selector", ".done").text)
        assert driver.execute_async_script(read).startswith(start)


@pytest.mark.parametrize("width", WIDTHS)
def test_faces_are_ordered_and_filtered(driver: Any, report: str, width: int) -> None:
    opened(driver, report, width)
    faces = driver.execute_script("return JSON.parse(document.getElementById('data').textContent)")
    first = faces["faces"][0]
    worst = [r["name"] for r in first["rows"]].index("worst")
    ecm = first["judges"][0]["rows"][worst]["ecm"]
    if one(driver, "input[name=pictures]").is_selected():
        assert len(first["embedded"]) == 20
        click(driver, one(driver, "input[name=pictures]"))
    choose(driver, "select[name=a]", str(worst))
    cards = [card.get_attribute("data-face") for card in every(driver, ".face")]
    order = sorted(range(30), key=lambda i: (-ecm[i], i))
    assert cards == [first["ids"][i] for i in order[:8]]
    click(driver, one(driver, "button.more"))
    assert len(every(driver, ".face")) == 16
    flipped = first["judges"][0]["rows"][worst]["flipped"]
    click(driver, one(driver, "input[name=flipped]"))
    assert f"of {sum(flipped)} faces" in one(driver, ".count").text
    choose(driver, "select[name=sort]", "disagreement")
    choose(driver, "select[name=b]", "0")
    other = first["judges"][0]["rows"][0]["ecm"]
    gap = sorted((i for i in range(30) if flipped[i]), key=lambda i: -abs(ecm[i] - other[i]))
    cards = [card.get_attribute("data-face") for card in every(driver, ".face")]
    assert cards == [first["ids"][i] for i in gap[: len(cards)]]
    click(driver, one(driver, "input[name=flipped]"))
    one(driver, "input[name=search]").send_keys("00002")
    assert all("00002" in card.get_attribute("data-face") for card in every(driver, ".face"))
    assert "of 11 faces" in one(driver, ".count").text
    one(driver, "input[name=search]").send_keys("\b" * 5)
    until(lambda: "of 30 faces" in one(driver, ".count").text)
    label = first["judges"][0]["labels"][0]
    choose(driver, "select[name=label]", label)
    wanted = [i for i in range(30) if first["judges"][0]["label"][i] == 0]
    assert f"of {len(wanted)} faces" in one(driver, ".count").text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_face_opens_and_closes_by_keyboard(driver: Any, report: str, width: int) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(driver, report, width)
    link = one(driver, ".face .face-link")
    face = one(driver, ".face").get_attribute("data-face")
    link.send_keys(Keys.ENTER)
    dialog = until(lambda: shown(driver, "dialog[open]"))[0]
    assert driver.current_url.endswith(f"#face=celeba/{face}")
    assert face in dialog.find_element("css selector", "h3").text
    assert len(dialog.find_elements("css selector", "tbody tr")) == 3
    links = dialog.find_elements("css selector", ".models-of a")
    assert [link.text for link in links] == ["sharp", "bicubic", "worst"]
    click(driver, one(driver, "[data-step=next]"))
    assert face not in dialog.find_element("css selector", "h3").text
    driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(lambda: not shown(driver, "dialog[open]"))
    assert driver.current_url.endswith("#faces")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_link_opens_exactly_that_face(driver: Any, report: str, width: int) -> None:
    opened(driver, f"{report}#face=helen/000017", width)
    until(lambda: shown(driver, "dialog[open]"))
    assert one(driver, "dialog h3").text == "helen / 000017"
    assert one(driver, "input[name=dataset][value=helen]").is_selected()
    script = "return JSON.parse(document.getElementById('face-1-17').textContent).hr"
    sources = [i.get_attribute("src") for i in every(driver, "dialog .stack img")]
    assert driver.execute_script(script) in sources
    opened(driver, f"{report}#face=helen/nobody", width)
    assert "no face helen/nobody" in one(driver, ".count").text
    assert not shown(driver, "dialog[open]")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_slider_moves_the_line(driver: Any, report: str, width: int) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    opened(driver, f"{report}#face=celeba/000003", width)
    until(lambda: shown(driver, "dialog[open]"))
    slider = one(driver, "dialog input[name=split]")
    slider.send_keys(Keys.ARROW_RIGHT)
    split = "return getComputedStyle(document.querySelector('dialog .over')).clipPath"
    assert "51%" in driver.execute_script(split)
    stack = one(driver, "dialog .stack")
    quarter = -stack.size["width"] // 4
    ActionChains(driver).move_to_element_with_offset(stack, quarter, 0).click().perform()
    assert abs(int(slider.get_attribute("value")) - 25) <= 2
    before = one(driver, "dialog .under").get_attribute("src")
    choose(driver, "dialog select[name=left]", "lr")
    assert one(driver, "dialog .under").get_attribute("src") != before
    assert "LR" in one(driver, "dialog .under").get_attribute("alt")
    native = driver.execute_script("return document.querySelector('dialog .under').naturalWidth")
    click(driver, one(driver, "dialog input[name=zoom][value='4']"))
    reference = "return document.querySelector('dialog .over').naturalWidth"
    assert stack.size["width"] == 4 * max(native, driver.execute_script(reference))
    style = "return getComputedStyle(document.querySelector('dialog .under')).imageRendering"
    assert driver.execute_script(style) == "pixelated"
    assert driver.execute_script(
        "return [...document.querySelectorAll('dialog .stack img')].every(i => i.naturalWidth > 0)"
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_an_opened_face_fills_the_dialog(driver: Any, report: str, width: int) -> None:
    opened(driver, f"{report}#face=celeba/000003", width)
    until(lambda: shown(driver, "dialog[open]"))
    stage, viewer = one(driver, "dialog .stage"), one(driver, "dialog .viewer")
    bottom = driver.execute_script(
        "return document.querySelector('dialog .stage').getBoundingClientRect().bottom"
    )
    high = driver.execute_script("return innerHeight")
    fills_width = stage.size["width"] >= 0.95 * viewer.size["width"]
    assert bottom <= high and (fills_width or bottom >= high - 60)
    assert stage.size["width"] >= 300


@pytest.mark.parametrize("width", WIDTHS)
def test_a_link_opens_a_face_at_a_model(driver: Any, report: str, width: int) -> None:
    from selenium.webdriver.support.ui import Select

    opened(driver, f"{report}#face=helen/000017/worst", width)
    until(lambda: shown(driver, "dialog[open]"))
    assert one(driver, "dialog h3").text == "helen / 000017"
    left = Select(one(driver, "dialog select[name=left]"))
    assert left.first_selected_option.text == "worst"
    link = next(a for a in every(driver, ".models-of a") if a.text == "sharp")
    click(driver, link)
    until(lambda: driver.current_url.endswith("#face=helen/000017/sharp"))
    left = Select(one(driver, "dialog select[name=left]"))
    until(lambda: left.first_selected_option.text == "sharp")
    assert one(driver, ".models-of a[aria-current]").text == "sharp"


def test_faces_are_filtered_by_what_their_expression_became(driver: Any, report: str) -> None:
    opened(driver, report)
    if one(driver, "input[name=pictures]").is_selected():
        click(driver, one(driver, "input[name=pictures]"))
    data = driver.execute_script("return JSON.parse(document.getElementById('data').textContent)")
    first = data["faces"][0]
    judge, worst = first["judges"][0], [r["name"] for r in first["rows"]].index("worst")
    row = judge["rows"][worst]
    pairs = zip(judge["label"], row["label"], strict=True)
    changes = [pair for pair, flipped in zip(pairs, row["flipped"], strict=True) if flipped]
    before, after = max(set(changes), key=changes.count)
    choose(driver, "select[name=a]", str(worst))
    for name, label in (("from", before), ("to", after)):
        choose(driver, f"select[name={name}]", judge["labels"][label])
    text = one(driver, ".count").text
    assert f"of {changes.count((before, after))} faces" in text
    names = judge["labels"][before], judge["labels"][after]
    assert text.endswith(f"changed from {names[0]} to {names[1]} by worst")
    choose(driver, "select[name=to]", "")
    total = sum(a == before for a, _ in changes)
    assert f"of {total} faces" in one(driver, ".count").text


@pytest.mark.parametrize("width", [390, 1440])
def test_no_legend_of_a_figure_is_cut(driver: Any, report: str, width: int) -> None:
    opened(driver, report, width)
    keys = shown(driver, ".plot-keys li")
    assert {"sharp", "bicubic", "worst", "wrong-face"} <= {key.text for key in keys}
    for key in keys:
        box = driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", key)
        assert box["left"] >= 0 and box["right"] <= width
    for drawing in shown(driver, ".plot .drawing:not([data-wide])"):
        scroll = "return arguments[0].scrollWidth <= arguments[0].clientWidth"
        assert driver.execute_script(scroll, drawing)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_chooser_changes_the_columns_of_a_board(driver: Any, site: Path, width: int) -> None:
    opened(driver, (site / "board-helen-x8.html").as_uri(), width)

    def heads() -> list[str]:
        script = "return [...document.querySelectorAll('table.board thead th[data-column]')]"
        script += ".filter(h => h.offsetWidth).map(h => h.dataset.column)"
        return list(driver.execute_script(script))

    assert 6 <= len(heads()) <= 8 and heads()[0] == "ecm"
    head = one(driver, "th[data-column=ecm]")
    assert head.get_attribute("aria-sort") == "ascending"
    values = [float(e.get_attribute("data-value")) for e in every(driver, ".models .headline")]
    assert values == sorted(values)
    overview = heads()
    for label in every(driver, "form.chooser .segments label")[1:]:
        click(driver, label)
        assert heads()[0] == "ecm" and len(heads()) <= 8 and heads() != overview
    click(driver, one(driver, ".menu summary"))
    click(driver, one(driver, "input[name=column][value=psnr]"))
    assert "psnr" in heads()
    # The rank and the name stay where they are; the page itself never scrolls sideways.
    frame = one(driver, ".scores .frame")
    driver.execute_script("arguments[0].scrollLeft = 9999", frame)
    left = driver.execute_script(
        "return document.querySelector('table.board th.model').getBoundingClientRect().left"
    )
    assert 0 <= left < 0.45 * width
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_a_board_fits_a_printed_page(driver: Any, site: Path) -> None:
    """A4 with the margins of browsers is about 700 px wide."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        opened(driver, (site / "board-helen-x8.html").as_uri(), 700)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 700
        assert len(shown(driver, ".main-plot svg.wide")) == 1
        assert not shown(driver, "form.chooser")
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_plot_of_a_board_changes_its_measure(driver: Any, site: Path) -> None:
    opened(driver, (site / "board-helen-x8.html").as_uri())
    first = [e.get_attribute("data-plot") for e in shown(driver, ".main-plot")]
    click(driver, every(driver, "form.quality label")[1])
    second = [e.get_attribute("data-plot") for e in shown(driver, ".main-plot")]
    assert len(first) == len(second) == 1 and first != second


@pytest.mark.parametrize("width", WIDTHS)
def test_faces_beside_the_page_are_found(driver: Any, report: str, demo: str, width: int) -> None:
    opened(driver, demo, width)
    images = every(driver, ".face img")
    assert len(images) == 2 * 5
    path = demo.rpartition("/")[0] + "/report-faces/demo/sr-nearest/astronaut.png"
    driver.execute_async_script(
        "const image = new Image(); image.onload = image.onerror = arguments[1];"
        "image.src = arguments[0]; document.body.append(image); window.probe = image;",
        path,
    )
    assert driver.execute_script("return window.probe.naturalWidth") == 128


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window(
    driver: Any, report: str, demo: str, site: Path, width: int
) -> None:
    addresses = [report, demo, *(path.as_uri() for path in sorted(site.glob("*.html")))]
    for address in addresses:
        opened(driver, address, width)
        wide = driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, address


def test_the_site_leads_from_board_to_model_and_back(driver: Any, site: Path) -> None:
    opened(driver, (site / "index.html").as_uri())
    click(driver, one(driver, "a[href$='board-helen-x8.html']"))
    assert one(driver, "h1").text == "Helen, 16 → 128 pixels"
    name = one(driver, "table.board tbody.models a").text
    click(driver, one(driver, "table.board tbody.models a"))
    assert one(driver, "h1").text == name
    click(driver, one(driver, "nav a"))
    assert one(driver, "h1").text == "affectbench leaderboards"
    click(driver, one(driver, "a[href$='published.html']"))
    table = every(driver, "table.results")[0]
    head = table.find_elements("css selector", "thead th")[3]
    click(driver, head.find_element("css selector", "button"))
    cells = [e.text for e in table.find_elements("css selector", "tbody tr > :nth-child(4)")]
    known = [float(text) for text in cells if text]
    assert known == sorted(known)
    assert cells[: len(known)] == [text for text in cells if text]


@pytest.mark.parametrize(("scheme", "width"), [("light", 375), ("dark", 1440)])
def test_axe_finds_nothing_serious(
    driver: Any, report: str, site: Path, axe: str, scheme: str, width: int
) -> None:
    pages = ("index.html", "board-helen-x8.html", "model-srgan-x8.html", "published.html")
    addresses = [report, f"{report}#face=celeba/000003"]
    addresses += [(site / name).as_uri() for name in pages]
    prefer(driver, scheme)
    try:
        for address in addresses:
            opened(driver, address, width)
            if "#face" in address:
                until(lambda: shown(driver, "dialog[open]"))
            driver.execute_script(axe)
            found = driver.execute_async_script(
                "axe.run(document).then(r => arguments[0](r.violations))"
            )
            serious = [
                (v["id"], v["help"], [node["html"][:200] for node in v["nodes"][:3]])
                for v in found
                if v["impact"] in {"serious", "critical"}
            ]
            assert serious == [], address
    finally:
        prefer(driver, "light")


def test_without_a_script_everything_but_the_browser_is_there(driver: Any, report: str) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(driver, report)
        assert len(shown(driver, ".view")) == 12
        assert not shown(driver, ".switches")
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_report_of_1000_faces_and_8_models_is_small_and_opens(
    driver: Any, tmp_path: Path
) -> None:
    """Size and first use; how long it takes is measured in docs/report.md, not asserted."""
    rows = {"bicubic": 2.0, **{f"model-{i}": 0.5 + 0.2 * i for i in range(7)}}
    folder = write_run(tmp_path, rows=rows, n=1000, judges=("mini-xception",), size=128)
    written = write_report(folder)
    assert written.size < 60_000_000
    opened(driver, written.page.as_uri())
    assert len(every(driver, ".face")) == 8
    faces = driver.execute_script(
        "return JSON.parse(document.getElementById('data').textContent).faces[0]"
    )
    assert len(faces["ids"]) == 1000
    assert len(faces["embedded"]) >= 200
