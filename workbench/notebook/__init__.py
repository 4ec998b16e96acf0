"""The learner's side: the kernel that the bench is imported in, the commands for exercises, and their cards.

It knows `judge` and `server`. Only the bench's own front door, `workbench`, and tests may enter.
"""
