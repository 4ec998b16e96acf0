"""Verdicts as the learner sees them: a card, and its plain-text twin."""

import html
import textwrap

from workbench.judge import MARKS, NOT_ATTEMPTED, NOT_YET, PASSED, Exercise, Verdict

COLUMNS = 92


def in_words(exercise: Exercise, verdict: Verdict) -> str:
    """The verdict as plain text: the twin of the card."""
    head = f"{MARKS[verdict.state]} {exercise.label}: {verdict.state}"
    if verdict.state != NOT_YET:
        return f"{head}. {verdict.summary}".rstrip()
    lines = [head]
    for label, text in _rows(verdict):
        lines += textwrap.wrap(f"{label:<10}{text}", COLUMNS, initial_indent="  ", subsequent_indent=" " * 12)
    lines += textwrap.wrap(verdict.diagnosis, COLUMNS, initial_indent="  ", subsequent_indent="  ")
    lines += [f"  printed   {line}" for line in verdict.printed.splitlines()]
    return "\n".join([*lines, f"  hint({exercise.name!r}) helps."])


def _rows(verdict: Verdict) -> list[tuple[str, str]]:
    return [("tried", verdict.tried), ("expected", verdict.expected), ("seen", verdict.seen)]


def show(exercise: Exercise, verdict: Verdict) -> None:
    colour = {
        NOT_ATTEMPTED: "var(--jp-border-color1, #888)",
        NOT_YET: "var(--jp-error-color1, #d55e00)",
        PASSED: "var(--jp-success-color1, #009e73)",
    }
    head = f"<b>{MARKS[verdict.state]} {html.escape(exercise.label)}: {verdict.state}</b>"
    if verdict.state == NOT_YET:
        rows = "".join(
            f"<tr><td style='text-align:left;opacity:.75;padding:1px 12px 1px 0;vertical-align:top'>{label}</td>"
            f"<td style='text-align:left;padding:1px 0'>{inline(text)}</td></tr>"
            for label, text in _rows(verdict)
        )
        printed = f"<pre>{html.escape(verdict.printed)}</pre>" if verdict.printed else ""
        body = (
            f"{head}<table style='margin:4px 0;border:0'>{rows}</table>{inline(verdict.diagnosis)}{printed}"
            f"<div style='opacity:.75;margin-top:4px'><code>hint({exercise.name!r})</code> helps.</div>"
        )
    else:
        body = f"{head}. {inline(verdict.summary)}"
    display_card(in_words(exercise, verdict), body, colour[verdict.state])


def display_card(text: str, body: str, colour: str) -> None:
    card = f"<div style='border-left:4px solid {colour};padding:4px 12px;max-width:52em'>{body}</div>"
    publish({"text/plain": text, "text/html": card})


def publish(bundle: dict[str, str]) -> None:
    from IPython.display import display

    display(bundle, raw=True)


def inline(text: str) -> str:
    """HTML of a sentence; `code` between backticks."""
    parts = text.split("`")
    return "".join(
        f"<code>{html.escape(part)}</code>" if place % 2 and place < len(parts) - 1 else html.escape(part)
        for place, part in enumerate(parts)
    )
