"""The page in a real browser: no complaint, no request, nothing cut, in both schemes and on paper."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcdrop.report.documents import document_of
from mcdrop.report.files import write_html
from tests.support.browser import CHROMIUM, Browser, browser
from tests.support.reports import HOSTILE, full_classification, full_regression

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: the page is not looked at"
)

CUT = """
(() => {
  const wide = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > wide) found.push("the page is wider than the window");
  for (const element of document.querySelectorAll("main *:not(svg *)")) {
    const box = element.getBoundingClientRect();
    const says = element.outerHTML.slice(0, 80);
    if (box.width && (box.right > wide + 1 || box.left < -1)) found.push("outside: " + says);
    if (element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX !== "visible")
      found.push("cut: " + says);
  }
  for (const text of document.querySelectorAll("svg text")) {
    const box = text.getBoundingClientRect(), frame = text.closest("svg").getBoundingClientRect();
    const beside = box.left < frame.left - 1 || box.right > frame.right + 1;
    if (beside || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
      found.push("cut in a figure: " + text.textContent);
    if (box.height < 9.5) found.push("too small to read: " + text.textContent);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of a classification with every section and hostile names, and one of a regression."""
    folder = tmp_path_factory.mktemp("pages")
    write_html(document_of(full_classification(hostile=True)), folder / "classes.html")
    write_html(document_of(full_regression()), folder / "numbers.html")
    return {"classes": folder / "classes.html", "numbers": folder / "numbers.html"}


@pytest.mark.parametrize("name", ["classes", "numbers"])
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_cut_asked_for_or_complained_about(
    chromium: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    page = chromium.open(pages[name], width=width)
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [pages[name].as_uri()]
    assert page.evaluate(CUT) == []


def test_what_looks_like_markup_in_the_data_stays_text(chromium: Browser, pages: dict[str, Path]) -> None:
    page = chromium.open(pages["classes"], width=1200)
    assert page.evaluate("document.title") == HOSTILE
    assert page.evaluate("document.querySelectorAll('script, img, iframe').length") == 0
    assert HOSTILE in page.evaluate("document.querySelector('h1').textContent")


def test_both_schemes_can_be_read(chromium: Browser, pages: dict[str, Path]) -> None:
    """Text stands out from its paper by 4.5 to 1 at least (WCAG 2, success criterion 1.4.3)."""
    contrast = """
    (() => {
      const light = colour => {
        const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
        const [r, g, b] = colour.match(/\\d+/g).map(v => linear(v / 255));
        return .2126 * r + .7152 * g + .0722 * b;
      };
      const paper = light(getComputedStyle(document.body).backgroundColor);
      return [...document.querySelectorAll("h1, p, .mark, figcaption, small, .topic")].map(element => {
        const ink = light(getComputedStyle(element).color);
        return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
      });
    })()
    """
    papers = set()
    for scheme in ("light", "dark"):
        page = chromium.open(pages["classes"], width=1200, scheme=scheme)
        assert min(page.evaluate(contrast)) >= 4.5
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2


def test_it_can_be_printed(chromium: Browser, pages: dict[str, Path]) -> None:
    page = chromium.open(pages["numbers"], width=1200, scheme="dark")
    assert base64.b64decode(page.pdf()).startswith(b"%PDF")
