"""Pictures of a search: learning curves of the best trials, the score against each hyperparameter.

Reads space.py (the scales), and matplotlib when a picture is asked for; read by results.py.

a) A small panel for each curve, all on the same axes, the best first: shapes are compared, not lines in a tangle.
b) Axes show what is good in detail: the best half of the curves, the best three quarters of the scores. What is worse,
   and trials without a score, are marked at the edge, so that it can be seen where they were; a panel whose curves lie
   outside says on which side.
"""

import os
import textwrap

import numpy as np

from fusednet import errors
from fusednet.search.space import Choice, Int, same

_TRAINING, _VALIDATION, _FAILED = "#0072b2", "#d55e00", "#999999"
_PER_ROW = 5


def draw(results, path, best: int):
    """The figure; see `Results.plot`."""
    ranked = results.ranked()
    if not ranked:
        raise ValueError("plot: there is nothing to plot; wanted a trial that has a score")
    try:
        import matplotlib.figure
    except ModuleNotFoundError as error:
        raise errors.missing("Results.plot", "matplotlib", "search") from error
    if path is not None:
        path = os.fspath(path)
        if not os.path.isdir(os.path.dirname(path) or "."):
            raise FileNotFoundError(f"plot: the folder of {path!r} does not exist")
    curves = [trial for trial in ranked if trial.curve][:best]
    columns, names = min(_PER_ROW, max(len(curves), 1)), min(_PER_ROW, len(results.space))
    above, below = -(-len(curves) // columns), -(-len(results.space) // names)
    options = {"figsize": (max(2.6 * max(columns, names), 5), 1.7 * above + 2.9 * below), "layout": "constrained"}
    if path is None:
        import matplotlib.pyplot

        figure = matplotlib.pyplot.figure(**options)
    else:
        figure = matplotlib.figure.Figure(**options)  # leaves nothing behind in pyplot, needs no display
    if curves:
        parts = figure.subfigures(2, 1, height_ratios=[1.7 * above, 2.9 * below])
        _draw_curves(parts[0], results, curves, columns)
        _draw_scores(parts[1], results, names)
    else:
        _draw_scores(figure, results, names)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def _draw_curves(figure, results, trials: list, columns: int) -> None:
    rows = -(-len(trials) // columns)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    low, high = _limits([value for trial in trials[: max(1, len(trials) // 2)]
                          for value in (*trial.curve, *trial.training_curve)], results.best.score)
    for axes, trial in zip(panels, trials, strict=False):
        for curve, colour, name in ((trial.training_curve, _TRAINING, "training"),
                                    (trial.curve, _VALIDATION, "validation")):
            known = np.isfinite(curve)
            if known.any():
                axes.plot(1 + np.flatnonzero(known), np.compress(known, curve), color=colour, linewidth=1.4, label=name,
                          marker="o" if known.sum() == 1 else None, markersize=4)
        axes.set_title(f"trial {trial.number}: {trial.score:.4g}", fontsize="small")
        axes.set_ylim(low, high)
        values = [value for value in (*trial.curve, *trial.training_curve) if np.isfinite(value)]
        if values and (min(values) > high or max(values) < low):
            axes.text(0.5, 0.5, "above" if min(values) > high else "below", transform=axes.transAxes, ha="center",
                      va="center", fontsize="small", color=_FAILED)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        _plain(axes)
    for i, axes in enumerate(panels):
        axes.set_visible(i < len(trials))
        if i + columns >= len(trials):  # nothing is below it
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("epoch")
    panels[0].legend(frameon=False, fontsize="x-small")
    count = len(results.trials)
    shown = "the trial" if count == 1 else f"the {len(trials)} best of {count} trials"
    figure.suptitle(f"{results.monitor.removeprefix('val_').replace('_', ' ')} of {shown}, by epoch", fontsize="medium")


def _draw_scores(figure, results, columns: int) -> None:
    import matplotlib

    names = list(results.space)
    rows = -(-len(names) // columns)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    scored, rounds = results.ranked(), len(results.spaces)
    best = results.best
    low, high = _limits([trial.score for trial in scored[: max(2, 3 * len(scored) // 4)]], best.score)
    edge = low if results.upwards else high
    worse = [trial for trial in scored if not low <= trial.score <= high]
    lost = [trial for trial in results.trials if all(trial is not one for one in scored)]
    shown = [trial for trial in scored if low <= trial.score <= high]
    palette = matplotlib.colormaps["viridis_r"].resampled(rounds + 1)
    colours = matplotlib.colors.ListedColormap([palette(i + 1) for i in range(rounds)] if rounds > 1 else [_TRAINING])
    for axes, name in zip(panels, names, strict=False):
        one = results.space[name]
        for trials, marker, label in ((worse, "v" if results.upwards else "^", "worse"), (lost, "x", "no score")):
            if trials:
                axes.plot(_places(one, trials, name), [edge] * len(trials), marker, color=_FAILED, markersize=4.5,
                          clip_on=False, label=label, zorder=3)
        drawn = axes.scatter(_places(one, shown, name), [trial.score for trial in shown], s=18, linewidths=0,
                             c=[trial.round + 1 for trial in shown], cmap=colours, vmin=0.5, vmax=rounds + 0.5)
        place = next(at for at, trial in zip(_places(one, shown, name), shown, strict=True) if trial is best)
        axes.plot([place], [best.score], "o", markersize=9, markerfacecolor="none",
                  markeredgecolor=_VALIDATION, markeredgewidth=1.5, clip_on=False, label="best")
        _scale(axes, one)
        axes.set(xlabel="\n".join(textwrap.wrap(name, 28)), ylim=(low, high))
        _plain(axes)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for row in range(rows):
        panels[row * columns].set_ylabel(results.monitor.replace("_", " "))
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, fontsize="x-small", loc="outside lower left", ncols=len(handles[0]))
    if rounds > 1:
        bar = figure.colorbar(drawn, ax=panels[: len(names)].tolist(), ticks=range(1, rounds + 1), aspect=30, pad=0.01)
        bar.set_label("round")
    figure.suptitle("score of each trial against its hyperparameters", fontsize="medium")


def _places(one, trials: list, name: str) -> list:
    if not isinstance(one, Choice):
        return [trial.params[name] for trial in trials]
    spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(trials))  # beside each other, not on top
    found = [next(i for i, value in enumerate(one.values) if same(value, trial.params[name])) for trial in trials]
    return [place + (shift if len(trials) > 1 else 0) for place, shift in zip(found, spread, strict=True)]


def _scale(axes, one) -> None:
    if isinstance(one, Choice):
        axes.set_xticks(range(len(one.values)), [str(value)[:14] for value in one.values],
                        rotation=0 if len(one.values) < 5 else 45)
        axes.set_xlim(-0.5, len(one.values) - 0.5)
    elif one.log:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axes.set_xscale("log")
        if one.high < 100 * one.low:  # numbers as they are, not 2 x 10^1
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif isinstance(one, Int):
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _limits(values: list[float], best: float) -> tuple[float, float]:
    """The range of an axis: that of the values, without the few that are far away from all others; with the best."""
    finite = np.array([value for value in values if np.isfinite(value)] or [0.0])
    low, high = np.quantile(finite, [0.05, 0.95])
    reach = 1.5 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = min(max(finite.min(), low - reach), best), max(min(finite.max(), high + reach), best)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def _plain(axes) -> None:
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize="x-small")
    axes.spines[["top", "right"]].set_visible(False)
