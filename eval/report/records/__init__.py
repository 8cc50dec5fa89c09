"""What the report needs of the files that stages wrote. A file of another shape is refused by its place and its cure.

Types are strict: what passes here is handed on as it was read.
"""
