"""The chapter 6 examples run without a screen, print what the book shows, and write their pictures.

Reads examples/; skipped without the source tree or matplotlib.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no source tree here")
pytest.importorskip("matplotlib")


def run(name: str, folder: Path, *arguments) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"book_ch06_{name}.py"), "--quick", "--out", str(folder), *arguments],
        capture_output=True, text=True, env=environment, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / f"book_ch06_{name}.png").stat().st_size > 20_000
    return done.stdout


@pytest.mark.parametrize("name, lines", [
    ("optimizers", r"(SGD|Momentum|AdaGrad|RMSprop|Adam) +loss \d"),
    ("initial_values", r"(sigmoid|relu|tanh) .*deviation in layer 5"),
    ("batch_norm", r"scale \d"),
    ("overfitting", r"(nothing|weight decay|dropout) .*accuracy"),
    ("hyperparameters", r"best \d: accuracy"),
])
def test_book_example_runs(name, lines, tmp_path):
    text = run(name, tmp_path)
    wanted = {"optimizers": 5, "initial_values": 15, "batch_norm": 16, "overfitting": 3, "hyperparameters": 5}[name]
    assert len(re.findall(f"^{lines}", text, re.MULTILINE)) == wanted


def test_book_example_shows_gradients_that_vanish(tmp_path):
    text = run("vanishing", tmp_path)
    found = {(kind.strip(), int(depth)): (float(first), float(last)) for kind, depth, first, last in
             re.findall(r"^(.+?) +(\d+) layers: first ([\d.e+-]+), last ([\d.e+-]+)$", text, re.MULTILINE)}
    first, last = found["sigmoid", 10]
    assert first < 1e-5 * last
    for kind in ("relu", "sigmoid + batch norm"):
        first, last = found[kind, 10]
        assert first > 0.01 * last
