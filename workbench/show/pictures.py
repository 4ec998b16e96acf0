"""Pictures of what a server did. Each has a title that states the finding, and a text twin.

matplotlib is imported when the first picture is drawn: it costs seconds that no earlier cell should pay.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.around.load import Burst
from workbench.server.record import Lag

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe-Ito, which the colour-blind can tell apart; grey for waiting.
WAITING, FREE, HELD, INK = "#d9dee7", "#0072b2", "#d55e00", "#222222"

HELD_FROM = 0.05  # seconds; shorter lags are the machine's noise and not drawn
WIDTH = 9.2  # inches, at 100 dots each


def timeline(bursts: Burst | Mapping[str, Burst], *, title: str) -> None:
    """Draw each call as a bar over the time that the server's loop was held.

    bursts: one burst, or several by name, drawn side by side on one time axis.
    title: the finding, in words.

    A call's grey part is the client waiting, its coloured part the handler at work (from the server's
    record). The strip below is dark while the loop was held for 50 ms or more.
    """
    panels = {"": bursts} if isinstance(bursts, Burst) else dict(bursts)
    longest = max(burst.wall for burst in panels.values())
    rows = max(len(burst.calls) for burst in panels.values())
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = _figure(lines * (1.5 + 0.2 * min(rows, 20)) + 0.4, title)
    grid = figure.add_gridspec(2 * lines, columns, height_ratios=[max(3.0, 0.45 * min(rows, 20)), 1] * lines)
    for index, (name, burst) in enumerate(panels.items()):
        line, column = divmod(index, columns)
        calls = figure.add_subplot(grid[2 * line, column])
        strip = figure.add_subplot(grid[2 * line + 1, column], sharex=calls)
        lags = [lag for lag in burst.server.record.lags_between(burst.start, burst.end) if lag.held >= HELD_FROM]
        _draw_calls(calls, burst, lags, name)
        _draw_strip(strip, burst, lags)
        calls.set_xlim(0, longest * 1.04)
        if column == 0:
            calls.set_ylabel("call")
        if line == lines - 1:
            strip.set_xlabel("seconds since the burst began")
    _key(figure)
    said = [_burst_in_words(name, burst) for name, burst in panels.items()]
    _show(figure, f"Timeline: {title}. " + " ".join(said))


def bars(values: Mapping[str, float], *, title: str, unit: str = "s", limit: float | None = None) -> None:
    """Draw one horizontal bar for each named value.

    values: what was measured, in `unit`, by name.
    title: the finding, in words.
    limit: a bound to draw as a dashed line, in `unit`. Bars beyond it take the other colour and a mark.
    """
    figure = _figure(0.9 + 0.42 * len(values), title)
    axes = figure.add_subplot()
    names = list(values)
    beyond = [limit is not None and value > limit for value in values.values()]
    axes.barh(
        names,
        list(values.values()),
        color=[HELD if over else FREE for over in beyond],
        hatch=["//" if over else "" for over in beyond],
        edgecolor="white",
        height=0.62,
    )
    for place, value in enumerate(values.values()):
        axes.annotate(
            _number(value, unit), (value, place), xytext=(6, 0), textcoords="offset points", va="center", color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    if limit is not None:
        axes.axvline(limit, color=INK, linestyle="--", linewidth=1)
        axes.annotate(
            f"limit {_number(limit, unit)}", (limit, 1), xycoords=("data", "axes fraction"),
            xytext=(3, 2), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axes.set_xlim(0, max(*values.values(), limit or 0) * 1.2)
    axes.invert_yaxis()
    axes.set_xlabel({"s": "seconds", "ms": "milliseconds"}.get(unit, unit))
    said = "; ".join(f"{name}: {_number(value, unit)}" for name, value in values.items())
    _show(figure, f"Bars: {title}. {said}.")


@dataclass(frozen=True)
class Span:
    """One piece of work for `children`: `start` and `end` in seconds; "done", "cancelled" or "failed"."""

    name: str
    start: float
    end: float
    state: str = "done"


def children(spans: Sequence[Span], *, title: str) -> None:
    """Draw pieces of work as bars on one time axis, with those that were cancelled or failed marked.

    title: the finding, in words. Times are shown since the first start.
    """
    figure = _figure(1.3 + 0.4 * len(spans), title)
    axes = figure.add_subplot()
    begin = min(span.start for span in spans)
    looks = {"done": (FREE, ""), "cancelled": (WAITING, "xx"), "failed": (HELD, "//")}
    for place, span in enumerate(spans):
        colour, hatch = looks[span.state]
        axes.barh(
            place, span.end - span.start, left=span.start - begin, height=0.6, color=colour, hatch=hatch,
            edgecolor=INK if span.state == "cancelled" else "white", linewidth=0.5,
        )  # fmt: skip
        mark = {"done": "✔ done", "cancelled": "✘ cancelled", "failed": "✘ failed"}[span.state]
        axes.annotate(mark, (span.end - begin, place), xytext=(6, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(spans)), [span.name for span in spans])
    axes.invert_yaxis()
    axes.set_xlim(0, max(span.end - begin for span in spans) * 1.18)
    axes.set_xlabel("seconds")
    _show(figure, f"Children: {title}. " + "; ".join(f"{span.name}: {span.state}" for span in spans) + ".")


def gauge(
    samples: Mapping[str, Sequence[tuple[float, float]]], *, title: str, label: str, limit: float | None = None
) -> None:
    """Draw one or more quantities over time as steps, each a list of (seconds, value) under its name.

    title: the finding, in words. label: what the values are, with their unit. limit: drawn as a dashed line.
    """
    figure = _figure(2.9, title)
    axes = figure.add_subplot()
    begin = min(at for points in samples.values() for at, _ in points)
    for (name, points), colour, style in zip(samples.items(), (HELD, FREE, INK), ("-", "--", ":"), strict=False):
        axes.step(
            [at - begin for at, _ in points], [value for _, value in points], where="post",
            color=colour, linestyle=style, linewidth=2, label=name,
        )  # fmt: skip
    if limit is not None:
        axes.axhline(limit, color=INK, linestyle="--", linewidth=1)
        axes.annotate(f"limit {limit:g}", (0, limit), xytext=(3, 3), textcoords="offset points", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel(label)
    if len(samples) > 1:
        axes.legend(frameon=False, fontsize=8.5)
    _show(figure, f"Gauge: {title}. {label} over time: {', '.join(samples)}.")


def curve(lines: Mapping[str, Sequence[tuple[float, float]]], *, title: str, across: str, label: str) -> None:
    """Draw how one quantity grows with another: lines by name, each a list of (across, value), smallest first.

    title: the finding, in words. across, label: what the two axes show, with their units.
    """
    figure = _figure(3.1, title)
    axes = figure.add_subplot()
    looks = zip((HELD, FREE, INK), ("-", "--", ":"), ("o", "s", "^"), strict=True)
    for (name, points), (colour, style, marker) in zip(lines.items(), looks, strict=False):
        places, values = [at for at, _ in points], [value for _, value in points]
        axes.plot(places, values, color=colour, linestyle=style, marker=marker, linewidth=2)
        axes.annotate(name, (places[-1], values[-1]), xytext=(8, 0), textcoords="offset points", va="center")
    axes.set_xticks(sorted({at for points in lines.values() for at, _ in points}))
    axes.set_xlim(right=max(at for points in lines.values() for at, _ in points) * 1.35)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(across)
    axes.set_ylabel(label)
    _show(figure, f"Curve: {title}. {label} over {across}: {', '.join(lines)}.")


def _draw_calls(axes: "Axes", burst: Burst, lags: list[Lag], name: str) -> None:
    for place, call in enumerate(burst.calls, start=1):
        start = call.start - burst.start
        axes.barh(place, call.end - burst.start - start, left=start, height=0.72, color=WAITING)
        request = call.request
        if request is None:
            continue
        done = request.done or call.end
        held = any(lag.due < done - 0.01 and lag.due + lag.held > request.arrived + 0.01 for lag in lags)
        axes.barh(
            place,
            max(done - request.arrived, 0.003 * burst.wall),  # what takes no time is still to be seen
            left=request.arrived - burst.start,
            height=0.72,
            color=HELD if held else FREE,
            hatch="///" if held else "",
            edgecolor="white",
            linewidth=0,
        )
    axes.set_ylim(len(burst.calls) + 0.6, 0.4)
    if len({call.path for call in burst.calls}) > 1:
        axes.set_yticks(range(1, len(burst.calls) + 1), [call.path for call in burst.calls])
    else:
        axes.set_yticks(sorted({1, len(burst.calls)} | set(range(5, len(burst.calls), 5))))
    axes.tick_params(labelbottom=False)
    if name:
        axes.set_title(name, loc="left", fontsize=10)


def _draw_strip(axes: "Axes", burst: Burst, lags: list[Lag]) -> None:
    for lag in lags:
        axes.barh(0, lag.held, left=lag.due - burst.start, height=0.8, color=INK)
    axes.set_ylim(-0.6, 0.6)
    axes.set_yticks([0], ["loop held"])
    axes.tick_params(axis="y", length=0)


def _key(figure: "Figure") -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(color=WAITING, label="client waits"),
            Patch(color=FREE, label="handler at work, loop free"),
            Patch(facecolor=HELD, hatch="///", edgecolor="white", label="handler at work, loop held"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8.5,
    )


def _figure(height: float, title: str) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(textwrap.wrap(title, 84)), x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def _show(figure: "Figure", words: str) -> None:
    """Display the figure as PNG with `words` as its alt text and its plain-text twin."""
    from IPython.display import display

    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    width = round(figure.get_figwidth() * 100)
    display(
        {"image/png": png.getvalue(), "text/plain": words},
        metadata={"image/png": {"alt": words, "width": width}},
        raw=True,
    )


def _burst_in_words(name: str, burst: Burst) -> str:
    label = f"{name}: " if name else ""
    return f"{label}{len(burst.calls)} calls, the last answer after {burst.wall:.1f} s."


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 20 or unit == "ms" else 2
    return f"{value:,.{digits}f} {unit}"
