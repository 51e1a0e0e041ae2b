"""``python -m fusednet.book SCRIPT``: a small repository in the book's shape, run as a user would.

Its ``common`` modules fail or mark themselves wherever this package's names should have taken their place.
"""

import subprocess
import sys

import numpy as np
import pytest

from fusednet.book import functions, gradient, layers, multi_layer_net, multi_layer_net_extend, optimizer, trainer, util
from fusednet.book.__main__ import OFFERED

COMMON = {
    "__init__": "",
    "functions": "import numpy as np\ndef softmax(x):\n    raise RuntimeError('the old softmax')\n"
                 "def own(x):\n    return 7\n",
    "gradient": "def numerical_gradient(f, x):\n    raise RuntimeError('the old gradient')\n",
    "layers": "from common.functions import *\nclass Relu:\n    pass\nclass Affine:\n    pass\n"
              "class Convolution:\n    def forward(self, x):\n        return softmax(x), own(x)\n",
    "optimizer": "class SGD:\n    pass\nclass MyRule:\n    pass\n",
    "multi_layer_net": "from common.layers import *\nclass MultiLayerNet:\n    pass\n",
    "trainer": "from common.optimizer import *\nclass Trainer:\n    pass\n",
}
SCRIPT = """import sys, os
sys.path.append(os.pardir)
import numpy as np
from common.layers import *
from common.gradient import numerical_gradient
from common.multi_layer_net import MultiLayerNet
from common.optimizer import SGD, MyRule
from common.trainer import Trainer
print(sys.argv[1:], __name__)
for thing in (Relu, Affine, Convolution, MultiLayerNet, SGD, MyRule, Trainer, numerical_gradient):
    print(thing.__module__)
probabilities, seven = Convolution().forward(np.zeros((1, 2)))
print(probabilities.tolist(), seven)
np.random.seed(0)
x, t = np.random.rand(40, 3), np.arange(40) % 2
network = MultiLayerNet(3, [4], 2)
print(network.params["W1"].dtype)
trainer = Trainer(network, x, t, x, t, epochs=2, mini_batch_size=20, verbose=False)
trainer.train()
print(len(trainer.train_loss_list))
"""


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "ch06").mkdir()
    for name, text in COMMON.items():
        (tmp_path / "common" / f"{name}.py").write_text(text)
    (tmp_path / "ch06" / "script.py").write_text(SCRIPT)
    return tmp_path


def run(*arguments, folder):
    command = [sys.executable, "-m", "fusednet.book", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_book_runner_replaces_what_is_offered_and_nothing_else(repository, dtype):
    done = run("--time", "--dtype", dtype, "script.py", "a", "--b", folder=repository / "ch06")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['a', '--b'] __main__", "fusednet.book.layers", "fusednet.book.layers", "common.layers",
        "fusednet.book.multi_layer_net", "fusednet.book.optimizer", "common.optimizer", "fusednet.book.trainer",
        "fusednet.book.gradient", "[[0.5, 0.5]] 7", dtype, "4",
    ]
    assert done.stderr.startswith("seconds in Trainer.train: 0.")


def test_book_runner_works_from_any_folder(repository, tmp_path_factory):
    done = run(repository / "ch06" / "script.py", "a", "--b", folder=tmp_path_factory.mktemp("elsewhere"))
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "4", done.stderr


def test_book_runner_says_what_is_missing(tmp_path):
    done = run("nowhere.py", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fusednet.book: there is no script 'nowhere.py'\n"
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "plain.py").write_text("print('it ran')")
    done = run("plain.py", folder=tmp_path / "inner")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1 and "has no 'common' folder" in done.stderr


def test_book_runner_says_that_a_script_uses_nothing_of_common(repository):
    (repository / "ch06" / "other.py").write_text("print('it ran')")
    done = run("other.py", folder=repository / "ch06")
    assert (done.returncode, done.stdout) == (2, "it ran\n") and "imports nothing of" in done.stderr


def test_book_runner_passes_a_failure_on(repository):
    (repository / "ch06" / "fails.py").write_text("import common.layers\nraise SystemExit(5)")
    assert run("fails.py", folder=repository / "ch06").returncode == 5
    (repository / "ch06" / "fails.py").write_text("import common.layers\n1 / 0")
    done = run("fails.py", folder=repository / "ch06")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr and "fails.py" in done.stderr


def test_book_runner_offers_what_there_is():
    twins = (functions, gradient, layers, multi_layer_net, multi_layer_net_extend, optimizer, trainer, util)
    assert set(OFFERED) == {module.__name__.rsplit(".", 1)[1] for module in twins}
    for module in twins:
        for name in OFFERED[module.__name__.rsplit(".", 1)[1]]:
            assert callable(getattr(module, name))


def test_book_util():
    x = np.linspace(0, 1, 30)
    np.testing.assert_allclose(util.smooth_curve(np.ones(30)), np.ones(30))
    assert util.smooth_curve(x).shape == (30,) and abs(util.smooth_curve(x)[15] - x[15]) < 1e-12
    rows, labels = np.arange(20).reshape(10, 2), np.arange(10)
    np.random.seed(0)
    order = np.random.permutation(10)
    np.random.seed(0)
    a, b = util.shuffle_dataset(rows, labels)
    assert (a == rows[order]).all() and (b == labels[order]).all()
    images = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    for stride, pad in ((1, 0), (2, 1), (1, 2)):
        col = util.im2col(images, 3, 2, stride, pad)
        padded = np.pad(images, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
        height, width = ((size + 2 * pad - f) // stride + 1 for size, f in ((6, 3), (5, 2)))
        expected = [padded[n, :, i * stride : i * stride + 3, j * stride : j * stride + 2].ravel()
                    for n in range(2) for i in range(height) for j in range(width)]
        assert (col == np.array(expected)).all()
        other = np.random.default_rng(1).standard_normal(col.shape)  # col2im is im2col's transpose
        back = util.col2im(other, images.shape, 3, 2, stride, pad)
        assert back.shape == images.shape and abs((col * other).sum() - (images * back).sum()) < 1e-10
    assert util.conv_output_size(28, 5) == 24
