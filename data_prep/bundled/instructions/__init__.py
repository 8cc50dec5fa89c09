"""The instruction rows: contents, each asked for through several templates."""
