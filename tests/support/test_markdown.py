"""The reader of Markdown pages: what it finds, and what it counts as the same output."""

from pathlib import Path

from tests.support.markdown import Block, blocks, commands, links, same_text

PAGE = """# A page with [a link](there.md#below) and ![a figure](figure.svg)

```python
print("[no](link)")
```

```console
$ first --option \\
    more
shown
$ second
```
"""


def written(directory: Path) -> Path:
    page = directory / "page.md"
    page.write_text(PAGE)
    return page


def test_blocks_are_found_with_their_language(tmp_path: Path) -> None:
    assert blocks(written(tmp_path))[0] == Block("python", 'print("[no](link)")\n')


def test_commands_are_joined_and_come_with_their_output(tmp_path: Path) -> None:
    assert list(commands(written(tmp_path))) == [("first --option     more", "shown\n"), ("second", "")]


def test_links_in_code_are_no_links(tmp_path: Path) -> None:
    assert list(links(written(tmp_path))) == ["there.md#below", "figure.svg"]


def test_numbers_may_differ_in_the_last_digits_and_words_may_not() -> None:
    assert same_text("mean 1.0001\n", "mean  1.0", tolerance=1e-3)
    assert not same_text("mean 1.01", "mean 1.0", tolerance=1e-3)
    assert not same_text("mean 1.0", "std 1.0", tolerance=1e-3)
    assert not same_text("1.0 2.0", "1.0", tolerance=1e-3)
