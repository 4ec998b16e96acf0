"""What a lesson shows: pictures, claims and live pages.

It knows `server` and `around`. Lessons enter, by `from workbench import …`; no check does.
"""
