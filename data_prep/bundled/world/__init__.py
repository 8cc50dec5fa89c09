"""The small world that the default profile speaks of: a few dozen names and things, and what happens to them.

A task's answer follows from its prompt, except where it asks for one of the closed facts (`facts`), which stand in the
plain text in several wordings and never as question and answer.
"""
