"""Presets: other defaults, by name.

Reads nothing; read by _base.py. A preset takes the place of parameters that are as the class has them by default; what
somebody has set stays.
"""

PRESETS: dict[str, dict] = {
    "strong": {
        "hidden_layer_sizes": (128, 128),
        "activation": "gelu",
        "normalize": True,
        "normalize_y": True,
        "dropout": 0.1,
        "batch_size": 32,
        "learning_rate": "cosine",
        "learning_rate_init": 0.002,
        "alpha": 0.01,
        "max_iter": 150,
        "early_stopping": True,
        "validation_metric": "loss",
        "n_iter_no_change": 50,
        "n_estimators": 5,
    },
}
"""Meant for tables of some hundred to some ten thousand rows: standardised inputs and targets, two layers, dropout, a
learning rate that falls to 0, the best weights by validation, five networks averaged."""


def resolve(estimator) -> dict:
    """The parameters of an estimator, those of its preset in the place of defaults; a `ValueError` where its solver
    cannot train these."""
    given = estimator.get_params(deep=False)
    preset = given.get("preset")
    if preset is None:
        return given
    defaults = type(estimator)().get_params(deep=False)
    taken = {
        name: value for name, value in PRESETS[preset].items() if name in given and _same(given[name], defaults[name])
    }
    if given["solver"] == "lbfgs" and taken.get("dropout"):
        raise ValueError(f"the preset {preset!r} has dropout, which makes the loss random; wanted the solver 'adam' or "
                         "'sgd' with it, not 'lbfgs'")
    return given | taken


def _same(a, b) -> bool:
    return type(a) is type(b) and bool(a == b)
