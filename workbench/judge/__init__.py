"""How an exercise is declared and an answer is judged: what `checks.py` is written with.

It knows `course`, `server` and `around`. Checks may enter, and `notebook` and `build` above.
"""

from workbench.judge.answer import (
    FILE,
    MODULE,
    Answer,
    Held,
    TookTooLong,
    innermost,
    load_cell,
    place_in_words,
    where_it_is,
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
    "error_of",
    "exercise",
    "exercises_of",
    "failure_in_words",
    "find_exercise",
    "innermost",
    "leaves",
    "load_cell",
    "ms",
    "place_in_words",
    "quoted",
    "require_pings",
    "said",
    "trial",
    "where_it_is",
]
