"""report.html in a real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import prune_sweep
from prune_sweep import question_texts
from prune_sweep.report import write_report

from . import sample, synthetic

HOSTILE = [
    "</script><script>window.broken = 1</script>",
    '<img src=x onerror="window.broken = 2">',
    "</pre></div><!-- ",
    "\"><svg onload='window.broken = 3'>",
    "javascript:window.broken=4",
    "\u2028\u2029\u0000\u202e\ufeff&amp;&lt;",
    "=cmd|' /C calc'!A0",
    "]]>{{x}}${x}`x`\\x3c",
    "$\\alpha_{$ % # ~ ^",
]
#: Kept where they can be looked at; each run of the tests writes them anew.
SCREENSHOTS = Path(
    os.environ.get("PRUNE_SWEEP_SCREENSHOTS", sample.REPOSITORY / "build" / "screenshots")
)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


class Opened:
    """A page, with everything it complained about or asked the network for."""

    def __init__(self, browser, path: Path, **options) -> None:
        self.page = browser.new_page(**options)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.set_default_timeout(30_000)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#list div")

    def shown(self) -> int:
        return int(re.match(r"\d+", self.page.inner_text("#matches"))[0])

    def filter(self, **values) -> int:
        for name, label in values.items():
            choice = {"value": label} if name == "change" else {"label": label}
            self.page.select_option(f"#{name}", **choice)
            self.page.wait_for_timeout(150)
        return self.shown()

    def check_is_quiet(self) -> None:
        assert self.complaints == []
        assert [
            url for url in self.requests if not url.startswith(("file:", "blob:", "data:"))
        ] == []
        assert self.page.evaluate("window.broken") is None


@pytest.fixture(scope="module")
def kept_report(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    archive = os.environ.get(
        "PRUNE_SWEEP_DEMO_ARCHIVE", sample.REPOSITORY / "tests/data/archive-1.0.h5"
    )
    with prune_sweep.open(archive) as run:
        write_report(run, path)
    return path


def counts(path) -> dict:
    """What the filters must find, from the archive itself."""
    with prune_sweep.open(path) as run:
        mmlu = run.mmlu.correct
        first = mmlu[run.mmlu.row("baseline")]
        second = mmlu[run.mmlu.row("drop-10")]
        return {
            "all": len(first),
            "changed": int((first != second).sum()),
            "lost": int(((first == 1) & (second == 0)).sum()),
            "gained": int(((first == 0) & (second == 1)).sum()),
            "right": int(((first == 1) & (second == 1)).sum()),
        }


def test_the_page_loads_filters_and_stays_quiet(browser, kept_report):
    archive = os.environ.get(
        "PRUNE_SWEEP_DEMO_ARCHIVE", sample.REPOSITORY / "tests/data/archive-1.0.h5"
    )
    opened = Opened(browser, kept_report, viewport={"width": 1280, "height": 900})
    page = opened.page
    opened.filter(first="baseline", second="drop-10")
    for change, expected in counts(archive).items():
        assert opened.filter(change=change) == expected, change
    opened.filter(change="all")
    subjects = page.locator("#subject option").all_inner_texts()[1:]
    assert sum(opened.filter(subject=subject) for subject in subjects) == counts(archive)["all"]
    opened.filter(subject="all")
    # Arrow keys move through the list.
    page.focus("#list")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    assert page.get_attribute("#list div:nth-child(3)", "aria-selected") == "true"
    assert page.locator("#question table.choices tbody tr").count() == 4
    page.evaluate("document.getElementById('explorer').scrollIntoView()")
    save(page, "explorer-choices")
    opened.filter(benchmark="GSM8K")
    assert page.locator("#question .pair > div").count() == 2
    save(page, "explorer-generated")
    page.evaluate("scrollTo(0, 0)")
    save(page, "light")
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    save(page, "dark")
    save(page, "dark-whole", full_page=True)
    opened.check_is_quiet()


def save(page, name: str, **options) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", **options)


def test_the_extracted_answers_are_marked(browser, kept_report):
    opened = Opened(browser, kept_report)
    opened.filter(benchmark="GSM8K", second="baseline")
    opened.filter(change="right")
    page = opened.page
    for item in range(min(3, opened.shown())):
        page.locator("#list div").nth(item).click()
        page.wait_for_timeout(150)
        gold = re.search(r"gold (\S+)\.", page.inner_text("#question .pair"))[1]
        assert page.inner_text("#question .pair mark >> nth=0").replace(",", "") == gold


def test_tables_are_sorted_by_their_numbers_and_downloaded(browser, kept_report):
    opened = Opened(browser, kept_report, accept_downloads=True)
    page = opened.page
    head = page.locator("#table-compare-mmlu th", has_text="difference")
    column = "#table-compare-mmlu tbody tr td:nth-child(4)"

    def values():
        found = page.locator(column).evaluate_all("cells => cells.map(c => c.dataset.value)")
        return [float(value) for value in found if value]

    head.locator("button").click()
    assert values() == sorted(values())
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert values() == sorted(values(), reverse=True)
    with page.expect_download() as download:
        page.click("button[data-csv='compare-mmlu']")
    text = Path(download.value.path()).read_text()
    assert text.splitlines()[0].startswith("table,variant,num_questions,accuracy")
    with page.expect_download() as download:
        page.click("button[data-svg='accuracy-by-layer']")
    svg = Path(download.value.path()).read_text()
    assert svg.startswith("<svg")
    assert "var(" not in svg
    opened.check_is_quiet()


def test_a_mark_of_a_figure_opens_its_variant(browser, kept_report):
    opened = Opened(browser, kept_report)
    page = opened.page
    page.focus("#figure-accuracy-by-layer .drawing")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "drop-01" in page.inner_text("#tip")
    page.keyboard.press("Enter")
    assert page.locator("#second option:checked").inner_text() == "drop-01"
    assert page.input_value("#change") == "changed"
    opened.check_is_quiet()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, kept_report, theme):
    axe = pytest.importorskip("axe_core_python.sync_playwright")
    opened = Opened(browser, kept_report, color_scheme=theme)
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    # The rules take minutes for ten thousand cells that are all alike.
    opened.page.evaluate(
        "document.querySelectorAll('tbody tr:nth-child(n+4)').forEach(r => r.remove())"
    )
    opened.page.evaluate(
        "document.querySelectorAll('#list div:nth-child(n+6)').forEach(r => r.remove())"
    )
    result = axe.Axe().run(opened.page)
    serious = [
        (found["id"], found["impact"], [node["html"][:200] for node in found["nodes"][:3]])
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.fixture(scope="module")
def hostile_archive(tmp_path_factory) -> Path:
    """Hostile texts wherever an archive has texts."""
    path = tmp_path_factory.mktemp("hostile") / "archive.h5"
    random = np.random.default_rng(3)
    names = [f"{text}" for text in HOSTILE if "\u0000" not in text]
    variants = [("baseline", ""), *((name, f"{i} drop") for i, name in enumerate(names))]
    n = 4 * len(HOSTILE)
    with synthetic.write_archive(path, variants) as file:
        file.attrs["job"] = HOSTILE[0]
        file.attrs["run_id"] = HOSTILE[1]
        gold = random.integers(0, 4, n)
        loglik = random.normal(-2, 1, (len(variants), n, 4))
        subjects = [text.replace("\u0000", "") for text in sorted(HOSTILE * 4)]
        synthetic.add_choices(file, "mmlu", subjects, loglik, gold)
        rows = [[HOSTILE[(v + q) % len(HOSTILE)] for q in range(n)] for v in range(len(variants))]
        correct = random.random((len(variants), n)) < 0.5
        columns = {"response": rows, "strict_answer": rows, "flexible_answer": rows}
        synthetic.add_generation(file, "gsm8k", HOSTILE[:1] * n, correct, columns)
        quarantined = file.create_group("audit/quarantined")
        quarantined["entry"] = np.zeros(1, np.int32)
        for name in ("benchmark", "subject", "variants", "reason"):
            quarantined[name] = synthetic.texts([HOSTILE[0]])
        quarantined["doc_id"] = np.zeros(1, np.int32)
    return path


def test_hostile_texts_stay_texts(browser, hostile_archive, tmp_path):
    folder = tmp_path / "data"
    (folder / "test").mkdir(parents=True)
    path = tmp_path / "report.html"
    lines = [
        {"doc_id": q, "doc": {"question": text, "answer": text}, "target": text,
         "arguments": [[text, {}]], "resps": [[text]], "filtered_resps": [text],
         "filter": "strict-match", "exact_match": 0.0}
        for q, text in enumerate(HOSTILE)
    ]  # fmt: skip
    samples = tmp_path / "samples_gsm8k.jsonl"
    samples.write_text("\n".join(json.dumps(line) for line in lines))
    with prune_sweep.open(hostile_archive) as run:
        write_report(run, path, samples=prune_sweep.samples.read_samples([samples]))
    opened = Opened(browser, path)
    page = opened.page
    opened.filter(benchmark="GSM8K")
    for item in range(len(HOSTILE)):
        page.locator("#list div").nth(item).click()
        page.wait_for_timeout(50)
        question = HOSTILE[item].replace("\u0000", "\ufffd")
        assert page.inner_text("#question .asked").strip() in (question.strip(), HOSTILE[item].strip())
    for mark in page.locator(".mark").all()[:12]:
        mark.hover(force=True)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.locator("body script:not([data-block])").count() == 2
    opened.check_is_quiet()


def test_the_page_says_where_texts_are_from(sample_run, tmp_path):
    found = question_texts.question_texts(sample_run)
    assert "the job names none" in found["mmlu"].source
    path = tmp_path / "report.html"
    write_report(sample_run, path)
    assert "no texts: the archive has no texts" in path.read_text()


def test_prompts_are_made_as_they_were_asked():
    demo = os.environ.get("PRUNE_SWEEP_DEMO_ARCHIVE")
    if demo is None:
        pytest.skip("PRUNE_SWEEP_DEMO_ARCHIVE names no archive")
    folders = {name: sample.REPOSITORY / "jobs" / "demo" / name for name in ("mmlu", "gsm8k")}
    with prune_sweep.open(demo) as run:
        for name, found in question_texts.question_texts(run, folders).items():
            assert found.num_verified == run.benchmarks[name].num_questions


def test_what_does_not_fit_is_left_out_and_said(browser, tmp_path):
    archive, path = tmp_path / "archive.h5", tmp_path / "report.html"
    synthetic.full_run(archive, 300, 120)
    with prune_sweep.open(archive) as run:
        write_report(run, path, max_bytes=1_100_000)
    assert path.stat().st_size < 1_100_000
    opened = Opened(browser, path)
    opened.filter(benchmark="GSM8K")
    facts = json.loads(opened.page.inner_text("#facts", timeout=5000) or opened.page.evaluate(
        "document.getElementById('facts').textContent"))  # fmt: skip
    gsm8k = facts["benchmarks"][0 if facts["benchmarks"][0]["name"] == "gsm8k" else 1]
    assert 0 <= gsm8k["num_texts"] < 120
    last = gsm8k["order"][-1]
    opened.page.fill("#find", str(last))
    opened.page.wait_for_timeout(300)
    assert "did not fit into the page" in opened.page.inner_text("#question")
    opened.check_is_quiet()


@pytest.mark.soak
def test_a_full_run_is_reported_in_a_minute(browser, tmp_path):
    archive, path = tmp_path / "archive.h5", tmp_path / "report.html"
    synthetic.full_run(archive, 14_042, 1_319)
    began = time.monotonic()
    with prune_sweep.open(archive) as run:
        write_report(run, path)
    elapsed_s = time.monotonic() - began
    size = path.stat().st_size
    opened = Opened(browser, path)
    paint_ms = opened.page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    print(f"report of 39 x (14,042 + 1,319): {elapsed_s:.1f} s, {size} bytes, paint {paint_ms} ms")
    assert elapsed_s < 60
    assert size < 10_000_000
    assert paint_ms < 2_000
    opened.check_is_quiet()
