"""How an exercise is declared and an answer is judged: what checks are written with.

It knows `course`, `server` and `around`. Checks may enter, and `notebook` and `build` above.
"""

from workbench.judge.answer import MODULE, Answer, Held, TookTooLong, load_cell
from workbench.judge.cell import (
    FILE,
    at_each_turn,
    frames_of,
    frames_of_the_cell,
    held_at,
    innermost,
    line_of_the_loop,
    looking,
    place_in_words,
    tasks_of_the_cell,
    threads_in_the_cell,
    where_it_is,
    where_it_waits,
)
from workbench.judge.exercise import (
    MARKS,
    NOT_ATTEMPTED,
    NOT_YET,
    PASSED,
    Exercise,
    NotYet,
    Probe,
    Verdict,
    exercise,
    exercises_of,
    find_exercise,
    ms,
    quoted,
)
from workbench.judge.source import calls, functions, nodes
from workbench.judge.trial import Trial, require_pings, trial
from workbench.judge.words import error_of, failure_in_words, leaves, said

__all__ = [
    "FILE",
    "MARKS",
    "MODULE",
    "NOT_ATTEMPTED",
    "NOT_YET",
    "PASSED",
    "Answer",
    "Exercise",
    "Held",
    "NotYet",
    "Probe",
    "TookTooLong",
    "Trial",
    "Verdict",
    "at_each_turn",
    "calls",
    "error_of",
    "exercise",
    "exercises_of",
    "failure_in_words",
    "find_exercise",
    "frames_of",
    "frames_of_the_cell",
    "functions",
    "held_at",
    "innermost",
    "leaves",
    "line_of_the_loop",
    "load_cell",
    "looking",
    "ms",
    "nodes",
    "place_in_words",
    "quoted",
    "require_pings",
    "said",
    "tasks_of_the_cell",
    "threads_in_the_cell",
    "trial",
    "where_it_is",
    "where_it_waits",
]
