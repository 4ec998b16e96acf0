"""The course's own tools: notebooks from their sources, and what pytest needs to prove them.

The top floor: it knows `course` and `judge`, and nobody knows it.
"""
