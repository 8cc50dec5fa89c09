"""The report's sections: each file has a dataclass, `build(...)` that makes it, and a template of the same name."""
