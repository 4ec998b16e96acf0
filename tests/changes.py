"""An answer as what it changes: hunks of lines, found in the exercise's own answer by what they say.

    @@
     a line that stays
    -a line that goes
    +a line that comes

Hunks come in the order of the text. Each says enough to be found exactly once behind the one before it. There are no
line numbers: a change holds for as long as its lines stand there, wherever they are.
"""

import difflib

HUNK = "@@"


class DoesNotApply(Exception):
    """The text is not the one that the change was made of. The message names the lines."""


def applied(text: str, change: str) -> str:
    """`text` with the hunks of `change` carried out. Raises DoesNotApply."""
    left = text.splitlines()
    done: list[str] = []
    for hunk in _hunks(change):
        old = [line[1:] for line in hunk if line[0] in " -"]
        places = _places(left, old)
        if len(places) != 1:
            found = "is not there any more" if not places else f"is there {len(places)} times"
            raise DoesNotApply(f"This part of the answer {found}:\n" + "\n".join(old))
        done += [*left[: places[0]], *(line[1:] for line in hunk if line[0] in " +")]
        left = left[places[0] + len(old) :]
    return "\n".join([*done, *left])


def change_between(text: str, edited: str) -> str:
    """The hunks that make `edited` of `text`, each with as much above it as is needed to find it."""
    lines, after = text.splitlines(), edited.splitlines()
    matcher = difflib.SequenceMatcher(None, lines, after, autojunk=False)
    said: list[str] = []
    behind = 0  # the hunk before
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        above = start
        while above > behind and len(_places(lines[behind:], lines[above:end])) != 1:
            above -= 1
        said += [HUNK, *(f" {line}" for line in lines[above:start])]
        said += [*(f"-{line}" for line in lines[start:end]), *(f"+{line}" for line in after[new_start:new_end])]
        behind = end
    change = "\n".join(said)
    try:
        found = applied(text, change).splitlines() == after
    except DoesNotApply:
        found = False
    return change if found else "\n".join([HUNK, *(f"-{line}" for line in lines), *(f"+{line}" for line in after)])


def _hunks(change: str) -> list[list[str]]:
    hunks: list[list[str]] = []
    for line in change.splitlines():
        if line == HUNK:
            hunks.append([])
        elif not hunks or line[:1] not in ("", " ", "-", "+"):
            raise DoesNotApply(f"A line of a change begins with ' ', '-' or '+', behind a line {HUNK!r}: {line!r}")
        else:
            hunks[-1].append(line or " ")
    return hunks


def _places(lines: list[str], part: list[str]) -> list[int]:
    if not part:
        return []
    return [place for place in range(len(lines) - len(part) + 1) if lines[place : place + len(part)] == part]
