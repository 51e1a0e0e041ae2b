"""What a model shows of itself: `Sequential.summary`, and the line at the prompt."""

import re

from fits import full

import fusednet as fn


def test_summary_names_layers_shapes_and_numbers(capsys):
    model = full()
    model.summary()
    model.build(5)
    model.summary()
    text = capsys.readouterr().out
    for word in ("dense", "batch_normalization", "dropout", "159"):
        assert word in text
    lines = []
    model.summary(print_fn=lines.append)
    shown = [int(number) for number in re.findall(r"\(rows, \d+\) +(\d+)", "".join(lines))]
    assert len(shown) == len(model.layers) and sum(shown) == model.count_params() == 159


def test_summary_says_what_is_known_before_the_first_data():
    lines = []
    fn.Sequential([fn.Normalization(), fn.Dense(3), fn.BatchNormalization(), fn.Dense(2)]).summary(lines.append)
    assert re.findall(r"\(rows, (.*?)\) +(\S+)", lines[0]) == [("?", "0"), ("3", "?"), ("3", "12"), ("2", "8")]


def test_a_model_at_the_prompt_is_one_line():
    model = full()
    assert repr(model) == f"<Sequential 'sequential': {len(model.layers)} layers, no weights yet, {model.dtype}>"
    model.build(5)
    assert repr(model) == f"<Sequential 'sequential': {len(model.layers)} layers, 159 weights, {model.dtype}>"


def test_layers_that_stand_still_are_not_counted_as_trainable(capsys):
    model = fn.Sequential([fn.Dense(2, learning_rate_factor=0.0), fn.Dense(3)])
    model.build(3)
    model.summary()
    assert "17 weights (68 bytes): 9 trainable, 8 not trained, 0 running" in capsys.readouterr().out
