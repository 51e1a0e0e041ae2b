"""The Python of README and of the pages on the doors runs as it is written, from top to bottom of a page.

Reads the source tree; without it (tests of an installed wheel alone) it is skipped. docs/kernels.md and docs/files.md
have tests beside those of what they describe.

a) A page's blocks share their names, as for somebody who types them one after the other in an empty folder.
b) Long searches are made short, and the book's images, which are no part of this repository, are drawn.
"""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="no source tree here")

SHORTER = {"n_trials=60": "n_trials=6", "n_trials=100": "n_trials=3", "n=5": "n=2", "epochs=30": "epochs=2",
           "epochs=20": "epochs=1"}
NEEDED = {
    "README.md": ["safetensors"], "docs/book.md": [], "docs/keras.md": ["safetensors"], "docs/sklearn.md": ["sklearn"],
    "docs/search.md": ["safetensors", "optuna", "matplotlib", "sqlalchemy"],
}


def load_mnist(normalize: bool):
    """Images and labels as the book's function gives them, but drawn."""
    rng = np.random.default_rng(0)
    train, test = (rng.random((n, 784), np.float32) for n in (500, 100))
    return (train, rng.integers(0, 10, 500)), (test, rng.integers(0, 10, 100))


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", NEEDED)
def test_the_python_of_documents_runs(document, tmp_path, monkeypatch):
    for package in NEEDED[document]:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names = {"load_mnist": load_mnist} if document == "docs/book.md" else {}
    found = blocks((ROOT / document).read_text(encoding="utf-8"))
    assert found
    for number, block in enumerate(found):
        for long, short in SHORTER.items() if document in ("docs/book.md", "docs/search.md") else ():
            block = block.replace(long, short)
        exec(compile(block, f"{document}, block {number}", "exec"), names)


@pytest.mark.parametrize("document", NEEDED)
def test_a_name_that_is_not_there_is_seen(document):
    found = blocks((ROOT / document).read_text(encoding="utf-8"))
    with pytest.raises((AttributeError, ImportError)):
        exec(re.sub(r"\b(Sequential|MLPClassifier|MultiLayerNetExtend)\b", r"\1Gone", "".join(found)), {})


# ---- figures ---------------------------------------------------------------------------------------------------------

FIGURES = {
    "docs/peers.md": r"geometric\s+mean of (?P<mean>[\d.]+)\. ",
    **{f"docs/{page}.md": r"from (?P<least>[\d.]+) to (?P<most>[\d.]+) with a mean of (?P<mean>[\d.]+):\s+"
       rf"\[docs/{page}" for page in ("peers_amx", "peers_xeon")},
}
"""How README tells what the pages say of training."""


def ratios(page: str) -> list[float]:
    """fusednet over the best other, by job; the mean at the end."""
    table = (ROOT / page).read_text(encoding="utf-8").split("## Training, rows per second")[1].split("\n## ")[0]
    return [float(line.split("|")[-2].strip().removesuffix("x")) for line in table.splitlines() if line.endswith("x |")]


def differences(page: str, readme: str) -> list[str]:
    """What README tells otherwise than the page, to the digits that it tells."""
    *jobs, mean = ratios(page)
    told = re.search(FIGURES[page], readme).groupdict()
    known = {"mean": mean, "least": min(jobs), "most": max(jobs)}
    return [name for name, figure in told.items()
            if abs(float(figure) - known[name]) > 0.51 * 10.0 ** -len(figure.partition(".")[2])]


@pytest.mark.parametrize("page", FIGURES)
def test_readme_has_the_figures_of_the_pages(page):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(ratios(page)) == 10 and not differences(page, readme)
    for name in re.search(FIGURES[page], readme).groupdict():
        begin, end = re.search(FIGURES[page], readme).span(name)
        assert differences(page, readme[:begin] + "9.9" + readme[end:]) == [name]
